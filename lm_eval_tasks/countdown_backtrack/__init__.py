"""Countdown's lm-eval tasks; the module :mod:`.task` holds old names of what all tasks share now."""
