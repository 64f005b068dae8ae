"""Reinforcement learning of a policy that may take tokens back.

Read in this order: :mod:`.rollout_reader` (how ids are read), :mod:`.ending` (whether an answer ended by
itself), :mod:`.answers` (what a training step knows of its answers, and the advantages of their actions),
:mod:`.step_metrics` (what is said of a step), :mod:`.warning_signs` (signs that a run learns nothing). verl's
trainer and reward manager call them all. :mod:`.grpo` with :mod:`.rollouts`, :mod:`.policy` and
:mod:`.settings` is a small trainer of its own on the same code, for experiments on models that verl takes
longer to start than to train.
"""
