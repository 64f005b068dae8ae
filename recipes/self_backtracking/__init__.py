"""Self-Backtracking (arXiv 2502.04404) on a laptop: see README.md."""
