"""lm-eval tasks that collapse backtracks before scoring."""
