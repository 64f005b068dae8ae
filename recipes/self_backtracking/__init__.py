"""An experiment: Self-Backtracking (arXiv 2502.04404) on a laptop. See README.md."""
