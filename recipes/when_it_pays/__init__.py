"""Experiment: where taking back pays, beside everything that one would do without it."""
