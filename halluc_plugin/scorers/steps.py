"""What a scorer of steps is: it gives a value to the bare prompt and to every prefix that ends a step."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from halluc_plugin.errors import TraceError
from halluc_plugin.sampling.rating import Spent

__all__ = ["Spent", "StepScorer", "StepScores", "Steps", "cut_steps"]

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


def cut_steps(
    ids: Sequence[int], delimiters: Collection[int], eos_ids: Collection[int]
) -> tuple[tuple[int, ...], ...]:
    """Cut a response behind each delimiter; an EOS right behind one belongs to the step before it.

    An EOS is no step of its own, because there is nothing in it that could be wrong: what it ends is.

    Args:
        ids: A response that ends a step, edits resolved.
        delimiters: Ids that end a step.
        eos_ids: Ids that end a response.

    Raises:
        TraceError: The response does not end with a delimiter or EOS, or goes on after an EOS.
    """
    steps: list[tuple[int, ...]] = []
    start = 0
    for end, token in enumerate(ids, start=1):
        if token in eos_ids and end < len(ids):
            raise TraceError("The response goes on after an end-of-sequence token.", "Cut it there.")
        if token in eos_ids and end - start == 1 and steps:
            steps[-1] += (token,)
        elif token in delimiters or token in eos_ids:
            steps.append(tuple(ids[start:end]))
        else:
            continue
        start = end
    if start < len(ids) or not ids:
        raise TraceError(
            f"The last {len(ids) - start} tokens of a response of {len(ids)} end no step.",
            "Cut the response behind its last step delimiter, or let it end with EOS.",
        )
    return tuple(steps)
