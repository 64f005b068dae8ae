"""What a search asks of a judge of steps beside samples, and what the answer costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True)
class Spent:
    """What scoring one response took.

    Attributes:
        policy_tokens: Tokens that the policy sampled, as Monte-Carlo values do.
        scorer_tokens: Positions that a scorer computed; a prefix that it has computed is not counted again.
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
    """A response whose prefixes a search wants rated.

    Attributes:
        prompt: Ids of the prompt.
        steps: The response cut into steps, at least one, each with its delimiter or EOS.
    """

    prompt: tuple[int, ...]
    steps: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Rated:
    """What a rater says of one response.

    Attributes:
        values: One more than there are steps, each in [0, 1]: of the bare prompt first, then of the prefix
            that ends with each step.
        spent: What that took.
    """

    values: tuple[float, ...]
    spent: Spent


class Ratings(Protocol):
    """What a rater gives; :class:`halluc_plugin.scorers.steps.StepScores` is one."""

    @property
    def values(self) -> torch.Tensor:
        """Float[B, S+1]."""
        ...

    @property
    def spent(self) -> Sequence[Spent]:
        """One for each of B responses."""
        ...


class Rater(Protocol):
    """Gives values to steps; every :class:`halluc_plugin.scorers.steps.StepScorer` does."""

    def rate(self, prompts: Sequence[Sequence[int]], steps: Sequence[Sequence[Sequence[int]]]) -> Ratings:
        """Values of each response's prefixes, and what they cost."""
        ...
