"""Scorers: models that say how good a response is; exact judges are :mod:`halluc_plugin.verifiers`.

Read in this order: :mod:`.base` (what a scorer is), :mod:`.likelihood` (how likely another model finds a
response), :mod:`.verdicts` (a model that was trained to say whether it is right).
"""
