"""Countdown, scored by the exact verifier of the training rows."""
