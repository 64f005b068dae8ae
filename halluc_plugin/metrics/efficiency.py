"""Measure what an answer costs in tokens, erased ones and edits included."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics.intervals import Proportion, score_array
from halluc_plugin.metrics.judged import JudgedTrace, pool

if TYPE_CHECKING:
    from halluc_plugin.edits import Resolution


@dataclass(frozen=True)
class TokenEfficiency:
    """The share of the sampled tokens that is left, as ratios of sums over traces.

    Attributes:
        efficiency: Σ|res τ| / Σ|τ|.
        overhead: (Σ|τ| - Σ|res τ|) / Σ|res τ|; infinite when nothing is left, nan when nothing was written.
        raw_tokens: Σ|τ|.
        resolved_tokens: Σ|res τ|.
    """

    efficiency: Proportion
    overhead: float
    raw_tokens: int
    resolved_tokens: int


def token_efficiency(resolution: "Resolution") -> TokenEfficiency:
    """Return the efficiency and overhead of a batch, with each trace a cluster of tokens."""
    raw, resolved = resolution.raw_length.tolist(), resolution.resolved_length.tolist()
    return TokenEfficiency(
        efficiency=Proportion.clustered(resolved, raw),
        overhead=_ratio(sum(raw) - sum(resolved), sum(resolved)),
        raw_tokens=sum(raw),
        resolved_tokens=sum(resolved),
    )


@dataclass(frozen=True)
class TokensPerSolve:
    """The number of tokens spent for a right answer.

    Attributes:
        value: Σ|τ| / Σ correct: raw tokens of all traces, failed ones too, for each solved one; infinite
            when none is solved, nan when nothing was written.
        n: Number of traces.
        solved: Number of right answers.
    """

    value: float
    n: int
    solved: int


def tokens_per_solve(raw_lengths: Sequence[int], correct: Sequence[bool]) -> TokensPerSolve:
    """Return the raw tokens spent for each right answer.

    Args:
        raw_lengths: Number of raw tokens |τ| of each trace.
        correct: Whether each trace's answer is right.

    Raises:
        MetricError: Lengths differ, or a verdict is not a boolean.
    """
    if len(raw_lengths) != len(correct):
        raise MetricError(
            f"{len(raw_lengths)} lengths, {len(correct)} verdicts.", "Pass one of each for every trace."
        )
    solved = int(score_array(correct).sum())
    return TokensPerSolve(_ratio(sum(raw_lengths), solved), len(correct), solved)


def accuracy_at_budget(traces: Sequence[JudgedTrace], budget: int) -> Proportion:
    """Return the accuracy when every raw trace is cut after ``budget`` tokens.

    The answer is what the cut trace resolves to, so one that is erased again later still counts at the
    budget where it stood.

    Args:
        traces: Traces whose oracle judges answers: is this resolved response a right one?
        budget: Raw tokens, at least 0.

    Raises:
        MetricError: ``budget`` is negative.
    """
    if budget < 0:
        raise MetricError(f"The budget is {budget}.", "Pass a number of raw tokens, at least 0.")
    return pool(traces, lambda trace: [trace.ok(trace.state_before(min(trace.start + budget, trace.end)))])


def _ratio(cost: int, yielded: int) -> float:
    if yielded:
        return cost / yielded
    return math.inf if cost else math.nan
