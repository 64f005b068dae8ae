"""Reinforcement learning of a policy that may take tokens back.

:mod:`.reading` says how ids are read, :mod:`.answers` holds what a training step knows of its answers and
shapes their advantages, :mod:`.step_metrics` what is said of a step; verl's trainer and reward manager call
them all. :mod:`.grpo` is a small trainer of its own on the same code, for experiments on models that verl
takes longer to start than to train.
"""
