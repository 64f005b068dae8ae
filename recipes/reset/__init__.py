"""An experiment: backtracking for safety on walks with forbidden numbers; see README.md."""
