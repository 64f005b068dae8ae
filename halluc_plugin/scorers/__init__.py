"""Score how good a response is, by models; exact judges are in :mod:`halluc_plugin.verifiers`.

Read in this order: :mod:`.base` (the interface of a scorer of responses), :mod:`.likelihood` (how likely
another model finds a response), :mod:`.verdicts` (a model that was trained to say whether it is right). Then
scorers of steps: :mod:`.steps` (their interface), :mod:`.prefixes` (each prefix is computed once), the
readers of prefixes :mod:`.value_head`, :mod:`.step_verdicts` and :mod:`.step_oracle`, and :mod:`.saved`
(scorers in files). Then those that sample: :mod:`.rollouts` (continuations of prefixes, and the search for a
first error), :mod:`.monte_carlo` (values by them), :mod:`.rollout_tree` (which response is searched next).
"""
