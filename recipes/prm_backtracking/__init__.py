"""Backtracking that a process reward model guides (OpenReview hJ2BCYGvFg); see README.md."""
