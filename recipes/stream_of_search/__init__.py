"""An experiment: Stream of Search (arXiv 2404.03683) on a small scale. See README.md."""
