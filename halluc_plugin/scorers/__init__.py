"""Scorers of responses and of their steps."""
