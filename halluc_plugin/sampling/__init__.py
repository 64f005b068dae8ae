"""Sampling responses from a model: states, requests, and what drives many of them at once."""
