"""Measure what the backtracks of a set of traces were worth, judged by a prefix oracle.

The notation is that of the documentation: event g moves the response from state s⁻ to s⁺; ok is the oracle;
the first bad token of a state is the first live token whose prefix is not ok; E are the tokens of s⁻ from its
first bad one on; D are the tokens that g deleted. An event is one move: states inside a run of edits are not
looked at.

Counts are pooled over traces, and intervals treat each trace as a cluster (see
:meth:`halluc_plugin.metrics.Proportion.clustered`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from halluc_plugin.metrics.intervals import Proportion
from halluc_plugin.metrics.judged import EMPTY, JudgedTrace, pool

if TYPE_CHECKING:
    from halluc_plugin.edits import EditEvent


def event_precision(traces: Sequence[JudgedTrace]) -> Proportion:
    """Return the share of events that left a bad state: ok(s⁻) = 0.

    It is high by chance if most steps are bad, so read it together with
    :func:`halluc_plugin.metrics.erased_tokens`. Edits at the prompt boundary count as events, although there
    was nothing to take back.
    """
    return pool(traces, lambda trace: [not trace.ok(trace.state_before(e.start)) for e in trace.events])


def event_recall(traces: Sequence[JudgedTrace]) -> Proportion:
    """Return the share of episodes ended by an event that reached a good state.

    An episode is a maximal interval of the resolved state with ok = 0, the empty response included. An
    episode that lasts to the end of the trace (EOS or truncation) was not recovered, nor was one that text
    ended, which only a noisy oracle can report.
    """
    return pool(traces, lambda trace: list(_episodes(trace)))


def _episodes(trace: JudgedTrace) -> Iterator[bool]:
    """For each episode, whether an event ended it."""
    inside = not trace.ok(EMPTY)
    for state, by_event in _moves(trace):
        good = trace.ok(state)
        if inside and good:
            yield by_event
        inside = not good
    if inside:
        yield False


def _moves(trace: JudgedTrace) -> Iterator[tuple[int, bool]]:
    """States after each text token and each event, in order, and whether an event led there."""
    events = {event.start: event for event in trace.events}
    for column in trace.columns():
        if trace.is_text(column):
            yield column, False
        elif column in events:
            yield trace.state_before(events[column].stop), True


class Localisation(StrEnum):
    """The place where an event's deletion starts, relative to the first bad token."""

    UNDER = "under"
    """It starts after the first bad token, so that a bad token is left."""
    EXACT = "exact"
    """It starts at the first bad token."""
    OVER = "over"
    """It starts before the first bad token, so that good tokens are deleted too."""


@dataclass(frozen=True)
class LocalisationShares:
    """How well the right events aimed.

    Attributes:
        shares: Share of each :class:`Localisation` among events that left a bad state.
        token_precision: |D∩E| / |D|, pooled: share of deleted tokens that were bad.
        token_recall: |D∩E| / |E|, pooled: share of bad tokens that were deleted.
    """

    shares: dict[Localisation, Proportion]
    token_precision: Proportion
    token_recall: Proportion


def localisation(traces: Sequence[JudgedTrace]) -> LocalisationShares:
    """Return where the events that left a bad, non-empty state start to delete."""
    aims = [[_aim(trace, event) for event in _right_events(trace)] for trace in traces]
    sizes = [len(row) for row in aims]
    hits = [sum(aim.hit for aim in row) for row in aims]
    return LocalisationShares(
        shares={
            kind: Proportion.clustered([sum(aim.kind is kind for aim in row) for row in aims], sizes)
            for kind in Localisation
        },
        token_precision=Proportion.clustered(hits, [sum(aim.deleted for aim in row) for row in aims]),
        token_recall=Proportion.clustered(hits, [sum(aim.bad for aim in row) for row in aims]),
    )


def _right_events(trace: JudgedTrace) -> list["EditEvent"]:
    return [e for e in trace.events if e.depth_before and not trace.ok(trace.state_before(e.start))]


@dataclass(frozen=True)
class _Aim:
    kind: Localisation
    deleted: int  # |D|
    bad: int  # |E|
    hit: int  # |D∩E|


def _aim(trace: JudgedTrace, event: "EditEvent") -> _Aim:
    first_bad = trace.first_bad(trace.state_before(event.start))
    assert first_bad is not None  # the state is not ok, so at the latest its last token is bad
    error_start = trace.depth_before(first_bad)
    kind = Localisation.EXACT
    if event.depth_after != error_start:
        kind = Localisation.UNDER if event.depth_after > error_start else Localisation.OVER
    return _Aim(
        kind=kind,
        deleted=event.depth_before - event.depth_after,
        bad=event.depth_before - error_start,
        hit=event.depth_before - max(event.depth_after, error_start),
    )


@dataclass(frozen=True)
class Latency:
    """How late the right events came.

    Attributes:
        value: Mean number of raw tokens between the first bad token and the event, both exclusive: 0 if the
            error was caught at once, nan if ``n`` is 0.
        n: Number of events that left a bad, non-empty state.
    """

    value: float
    n: int


def latency(traces: Sequence[JudgedTrace]) -> Latency:
    """Return the mean distance from the first bad token to the event that left its state."""
    waits = []
    for trace in traces:
        for event in _right_events(trace):
            first_bad = trace.first_bad(trace.state_before(event.start))
            assert first_bad is not None  # as in _aim
            waits.append(event.start - first_bad - 1)
    return Latency(sum(waits) / len(waits) if waits else math.nan, len(waits))
