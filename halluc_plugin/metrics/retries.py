"""Measure what a model writes after an event: whether it improves, repeats itself, or backtracks at once."""

from collections.abc import Collection, Hashable, Iterator, Sequence
from itertools import pairwise

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics.intervals import Proportion
from halluc_plugin.metrics.judged import JudgedTrace, pool


def success_after_backtrack(traces: Sequence[JudgedTrace], delimiters: Collection[int]) -> Proportion:
    """Return the probability that the next accepted step after an event is ok.

    The next accepted step is the first one to be completed after the event, by a delimiter or by the end of
    the trace; ok is asked of the state it leads to. Events with no text after them are left out.

    Args:
        traces: Judged traces.
        delimiters: Ids that end a step. To judge the next token instead, use :func:`next_token_ok`.

    Raises:
        MetricError: There are no delimiters.
    """
    if not delimiters:
        raise MetricError("No step delimiters.", "Pass the ids that end a step, or use next_token_ok.")

    def outcomes(trace: JudgedTrace) -> Iterator[bool]:
        for event in trace.events:
            text = [column for column in range(event.stop, trace.end) if trace.is_text(column)]
            closing = next((column for column in text if trace.token(column) in delimiters), None)
            if closing is not None:
                yield trace.ok(closing)
            elif text:
                yield trace.ok(trace.state_before(trace.end))

    return pool(traces, lambda trace: list(outcomes(trace)))


def next_token_ok(traces: Sequence[JudgedTrace]) -> Proportion:
    """Return the probability that the state after the first token written after an event is ok.

    Events without a token after them are left out.
    """
    return pool(traces, lambda trace: [trace.ok(e.stop) for e in trace.events if trace.is_text(e.stop)])


def repeat_rate(traces: Sequence[JudgedTrace]) -> Proportion:
    """Return the share of events whose first rewritten token is the one that stood there before.

    Only events that deleted something and have text after them count. No verdicts are needed.
    """

    def repeats(trace: JudgedTrace) -> Iterator[bool]:
        for event in trace.events:
            if event.erased and trace.is_text(event.stop):
                yield trace.token(event.stop) == trace.token(event.erased[0])

    return pool(traces, lambda trace: list(repeats(trace)))


def stutter_rate(traces: Sequence[JudgedTrace], kappa: int) -> Proportion:
    """Return the share of events that start at most ``kappa`` tokens after the previous one ended.

    All events count; the first of a trace never stutters. No verdicts are needed.

    Args:
        traces: Judged traces.
        kappa: Distance in tokens up to which an event stutters, at least 1, the shortest possible.

    Raises:
        MetricError: ``kappa`` is below 1.
    """
    if kappa < 1:
        raise MetricError(f"kappa is {kappa}.", "Pass kappa >= 1: two events are at least one token apart.")

    def stutters(trace: JudgedTrace) -> list[bool]:
        gaps = [b.start - a.stop for a, b in pairwise(trace.events)]
        return [False] * bool(trace.events) + [gap <= kappa for gap in gaps]

    return pool(traces, stutters)


def tries_by_state(trace: JudgedTrace, delimiters: Collection[int]) -> list[list[tuple[int, ...]]]:
    """Return the steps that a trace began in each state to which it came back, oldest first.

    A try is the text from a state that ends a step (or is empty) up to a delimiter, an event or the end. A
    state is a live prefix: one that is reached again by writing the same text counts as the same.

    Args:
        trace: A judged trace.
        delimiters: Ids that end a step.

    Returns:
        For each state with at least two tries, the ids of each.
    """
    found: dict[tuple[int, ...], list[list[int]]] = {}
    writing: list[int] | None = None
    for column in trace.columns():
        if not trace.is_text(column):
            writing = None
            continue
        if writing is None:
            before = [trace.token(at) for at in trace.path(trace.state_before(column))]
            if before and before[-1] not in delimiters:
                continue  # an edit left a part of a step, which is gone on with
            writing = []
            found.setdefault(tuple(before), []).append(writing)
        writing.append(trace.token(column))
        if trace.token(column) in delimiters:
            writing = None
    return [[tuple(ids) for ids in tries] for tries in found.values() if len(tries) > 1]


def retry_diversity(tries: Sequence[Sequence[Hashable]], least: int = 2) -> Proportion:
    """Return the share of different ones among the tries from one state, pooled over states.

    1 if no try repeats another; k tries that are all alike give 1/k.

    Args:
        tries: The tries from each state, such as those of :func:`tries_by_state`.
        least: Least number of tries of a state that counts, at least 2.

    Raises:
        MetricError: ``least`` is below 2.
    """
    if least < 2:
        raise MetricError(f"The diversity of {least} tries.", "Pass least >= 2: one differs from none.")
    counted = [of_state for of_state in tries if len(of_state) >= least]
    return Proportion.clustered([len(set(each)) for each in counted], list(map(len, counted)))
