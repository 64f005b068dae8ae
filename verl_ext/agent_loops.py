"""Importing this module registers every agent loop of ours with verl."""

from verl_ext import agent_loop, refinement

__all__ = ["agent_loop", "refinement"]
