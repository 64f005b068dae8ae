"""Measure how much of the bad and of the good text was erased, in tokens and in steps.

Event precision misleads if most of the text is bad: erasing at random is then right most of the time. The two
shares together do not depend on how much is bad.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from halluc_plugin.metrics.intervals import Proportion
from halluc_plugin.metrics.judged import JudgedTrace


@dataclass(frozen=True)
class ErasedShares:
    """The shares of bad and good text that were erased; a useful model erases the one and not the other.

    Attributes:
        bad: Share of the bad text that was erased (sensitivity).
        good: Share of the good text that was erased (1 - specificity).
    """

    bad: Proportion
    good: Proportion

    @property
    def base_rate(self) -> float:
        """Share of bad among all that was written: the precision of erasing at random; nan when empty."""
        written = self.bad.n + self.good.n
        return self.bad.n / written if written else math.nan


def erased_tokens(traces: Sequence[JudgedTrace]) -> ErasedShares:
    """Return the shares of the bad and of the good written tokens that are not live at the end.

    A token is bad when its live prefix at writing, itself included, holds a bad token.
    """
    return _erased_shares([[(_is_bad(t, column), t.erased(column)) for column in t.text()] for t in traces])


def specificity(traces: Sequence[JudgedTrace]) -> Proportion:
    """Return the specificity of erasing, 1 - (good tokens deleted) / (good tokens written)."""
    return erased_tokens(traces).good.complement()


def erased_steps(traces: Sequence[JudgedTrace], delimiters: Collection[int]) -> ErasedShares:
    """Return the shares of the bad and of the good written steps that were taken back.

    A written step is a run of text tokens up to a delimiter, an event or the end of the trace. It is bad when
    its last token is; a bad one counts as erased when its first bad token is, a good one when its last token
    is.

    Args:
        traces: Judged traces.
        delimiters: Ids that end a step; with none, a step ends at events only.
    """
    return _erased_shares(
        [[_judge_step(trace, step) for step in _steps(trace, delimiters)] for trace in traces]
    )


def _judge_step(trace: JudgedTrace, step: list[int]) -> tuple[bool, bool]:
    bad = [column for column in step if _is_bad(trace, column)]
    return bool(bad), trace.erased(bad[0] if bad else step[-1])


def _steps(trace: JudgedTrace, delimiters: Collection[int]) -> Iterator[list[int]]:
    step: list[int] = []
    for column in trace.columns():
        if trace.is_text(column):
            step.append(column)
        if step and (not trace.is_text(column) or trace.token(column) in delimiters):
            yield step
            step = []
    if step:
        yield step


def _is_bad(trace: JudgedTrace, column: int) -> bool:
    return trace.first_bad(column) is not None


def _erased_shares(rows: Sequence[Sequence[tuple[bool, bool]]]) -> ErasedShares:
    """Each row a list of (is bad, is erased)."""
    shares = {}
    for wanted in (True, False):
        erased = [[gone for bad, gone in row if bad is wanted] for row in rows]
        shares[wanted] = Proportion.clustered([sum(row) for row in erased], [len(row) for row in erased])
    return ErasedShares(bad=shares[True], good=shares[False])
