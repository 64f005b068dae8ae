"""Halluc: train language models to take back their mistakes.

The central package is :mod:`halluc_plugin.edits`, the only implementation of what an edit token does.
docs/architecture.md describes the packages around it and how a batch of ids passes through them. Importing
this package imports neither torch nor any host (verl, ray, vllm, lm_eval).
"""

from halluc_plugin import moved, old_names

__version__ = "0.1.0"

moved.install(old_names.MODULES, old_names.NAMES)
