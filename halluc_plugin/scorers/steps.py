"""What a scorer of steps is: it gives a value to the bare prompt and to every prefix that ends a step."""

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
    """Values of responses, and what they cost.

    Attributes:
        values: Float[B, S+1], in [0, 1]: column 0 is the bare prompt, column i the prefix that ends with
            step i; NaN behind a response's own steps.
        spent: One for each response.
    """

    values: torch.Tensor
    spent: Sequence[Spent]


class StepScorer(Protocol):
    """Gives values to steps; the process reward model of OpenReview hJ2BCYGvFg, section 3, is one."""

    def rate(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> StepScores:
        """Values of each response's prefixes, and what they cost.

        Args:
            prompts: B prompts.
            steps: The steps of a response to each.
        """
        ...

    def score(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> torch.Tensor:
        """The values alone: Float[B, S+1]."""
        ...
