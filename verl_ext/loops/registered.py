"""Importing this module registers every agent loop of ours with verl."""

from verl_ext.loops import backtrack, refinement

__all__ = ["backtrack", "refinement"]
