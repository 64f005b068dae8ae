"""The interface of a scorer of steps, which values the bare prompt and every prefix that ends a step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from halluc_plugin.sampling.rating import Spent

__all__ = ["Spent", "StepScorer", "StepScores", "Steps"]

Steps = Sequence[Sequence[int]]
"""A response cut into steps, each the ids of one, its delimiter or EOS included; never empty."""


@dataclass(frozen=True)
class StepScores:
    """The values of B responses, and their cost.

    Attributes:
        values: Values in [0, 1], Float[B, S+1]: column 0 is the bare prompt, column i the prefix that ends
            with step i. Columns after a response's own steps are NaN.
        spent: The cost of each response.
    """

    values: torch.Tensor
    spent: Sequence[Spent]


class StepScorer(Protocol):
    """The interface of a scorer of steps.

    The process reward model of OpenReview hJ2BCYGvFg, section 3, is one.
    """

    def rate(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> StepScores:
        """Return the values of each response's prefixes, and their cost.

        Args:
            prompts: Token ids of B prompts.
            steps: Token ids of the steps of a response to each prompt.
        """
        ...

    def score(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> torch.Tensor:
        """Return only the values, Float[B, S+1]."""
        ...
