"""Halluc: train language models to take back their mistakes.

The heart is :mod:`halluc_plugin.edits`, the one implementation of what an edit token does. Importing
this package imports neither torch nor any host (verl, ray, vllm, lm_eval).
"""

__version__ = "0.1.0"
