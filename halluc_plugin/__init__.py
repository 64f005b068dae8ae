"""Halluc: train language models to take back their mistakes.

The central package is :mod:`halluc_plugin.edits`, the only implementation of what an edit token does.
docs/architecture.md describes the packages around it and how a batch of ids passes through them. Importing
this package imports neither torch nor any host (verl, ray, vllm, lm_eval).
"""

import sys

if (sys.version_info.major, sys.version_info.minor) not in {(3, 11), (3, 12)}:
    raise ImportError(
        f"halluc needs Python 3.11 or 3.12, and this is {sys.version_info.major}.{sys.version_info.minor}. "
        "Fix: Install it with one of these, as verl's images have it."
    )

from halluc_plugin import moved, old_names

__version__ = "0.1.0"

moved.install(old_names.MODULES, old_names.NAMES)
