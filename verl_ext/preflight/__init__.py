"""Checks of a run before any worker starts."""
