"""Train a policy that may take tokens back by reinforcement learning.

Read in this order: :mod:`.rollout_reader` (how ids are read), :mod:`.ending` (whether an answer ended by
itself), :mod:`.answers` (the answers of a training step, and the advantages of their actions),
:mod:`.step_metrics` (the metrics of a step), :mod:`.warning_signs` (signs that a run learns nothing). The
trainer and the reward manager for verl call all of these. :mod:`.grpo` with :mod:`.rollouts`, :mod:`.policy`
and :mod:`.settings` is a small trainer on the same code, for experiments with models that verl takes longer
to start than to train.
"""
