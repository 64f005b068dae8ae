"""Halluc: train language models to take back their mistakes.

The heart is :mod:`halluc_plugin.edits`, the one implementation of what an edit token does;
docs/architecture.md shows the rooms around it, and the way of a batch of ids through them. Importing this
package imports neither torch nor any host (verl, ray, vllm, lm_eval).
"""

from halluc_plugin import moved, old_names

__version__ = "0.1.0"

moved.install(old_names.MODULES, old_names.NAMES)
