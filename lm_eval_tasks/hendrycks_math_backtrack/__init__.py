"""MATH, judged by lm_eval's own comparison of strings and by math-verify."""
