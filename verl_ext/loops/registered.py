"""Register every agent loop of this package with verl, by importing this module."""

from verl_ext.loops import backtrack, refinement, resets

__all__ = ["backtrack", "refinement", "resets"]
