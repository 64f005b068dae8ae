"""Scorers: models that say how good a response is; exact judges are :mod:`halluc_plugin.verifiers`.

Read in this order: :mod:`.base` (what a scorer of responses is), :mod:`.likelihood` (how likely another model
finds a response), :mod:`.verdicts` (a model that was trained to say whether it is right); then scorers of
steps: :mod:`.steps` (what one is), :mod:`.prefixes` (each prefix once), and what reads prefixes:
:mod:`.value_head`, :mod:`.step_verdicts`, :mod:`.step_oracle`; :mod:`.saved` (in files); and what samples:
:mod:`.rollouts` (continuations of prefixes, and the search for a first error), :mod:`.monte_carlo` (values by
them), :mod:`.rollout_tree` (what is searched next).
"""
