"""Traces made from a model's own samples: its errors, found and taken back."""
