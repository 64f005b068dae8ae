"""The tokenizers that raw traces are written with."""

from tests.problem_sets.conftest import tokenizer

__all__ = ["tokenizer"]
