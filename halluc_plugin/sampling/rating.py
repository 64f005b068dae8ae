"""The interface between a search and a scorer of steps, with the cost of its values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True)
class Spent:
    """The cost of scoring one response.

    Attributes:
        policy_tokens: Number of tokens that the policy sampled, as for Monte-Carlo values.
        scorer_tokens: Number of positions that a scorer computed; a prefix is counted once.
        flops: Forward cost of both, by :meth:`halluc_plugin.metrics.DecoderShape.flops`.
    """

    policy_tokens: int = 0
    scorer_tokens: int = 0
    flops: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.policy_tokens + other.policy_tokens,
            self.scorer_tokens + other.scorer_tokens,
            self.flops + other.flops,
        )


@dataclass(frozen=True)
class ToRate:
    """A response whose prefixes are to be rated.

    Attributes:
        prompt: Token ids of the prompt.
        steps: Token ids of the steps of the response, at least one, each with its delimiter or EOS.
    """

    prompt: tuple[int, ...]
    steps: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Rated:
    """A rater's values of one response of S steps.

    Attributes:
        values: S + 1 numbers in [0, 1]: the value of the bare prompt, then of the prefix that ends with each
            step.
        spent: The cost of these values.
    """

    values: tuple[float, ...]
    spent: Spent


class Ratings(Protocol):
    """The interface of a rater's result; :class:`halluc_plugin.scorers.steps.StepScores` has it."""

    @property
    def values(self) -> torch.Tensor:
        """The values of the prefixes, Float[B, S+1]."""
        ...

    @property
    def spent(self) -> Sequence[Spent]:
        """The cost of each of B responses."""
        ...


class Rater(Protocol):
    """The interface of a rater of steps; every :class:`halluc_plugin.scorers.steps.StepScorer` has it."""

    def rate(self, prompts: Sequence[Sequence[int]], steps: Sequence[Sequence[Sequence[int]]]) -> Ratings:
        """Return the values of each response's prefixes, and their cost.

        Args:
            prompts: Token ids of the prompt of each of B responses.
            steps: Token ids of each step of each response.
        """
        ...
