"""Values of states from the group itself: what the answers that passed through a state came to."""

import gc
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from halluc_plugin.credit._prefix_values import event_values
from halluc_plugin.credit.event_values import EventValue
from halluc_plugin.errors import TraceError

if TYPE_CHECKING:
    from halluc_plugin.edits import EditVocab


def prefix_tree_values(
    traces: Sequence[Sequence[int]], groups: Sequence[Hashable], rewards: Sequence[float], vocab: "EditVocab"
) -> list[list[EventValue]]:
    """What events were worth, by the group's own answers.

    The value of a state, a collapsed prefix, is the mean reward of the group's answers that passed through
    it, each counted once however often it did. States inside a run of edits are none: an event is one move. A
    state that only one answer visited has that answer's reward: an event between two such states is worth
    nothing, and what singles an event out is that others reached the state before it and fared otherwise.
    Costs no samples and no verifier; a group of n gives means of at most n.

    Args:
        traces: B raw traces, without prompt and padding.
        groups: B names; answers to one prompt have the same.
        rewards: B rewards of whole answers.
        vocab: Which ids edit.

    Returns:
        For each trace, its effective events in order; what edits at an empty response did is no event.

    Raises:
        TraceError: The three do not have one length, or an id is negative.
    """
    from halluc_plugin.edits import resolve_rows

    if not len(traces) == len(groups) == len(rewards):
        raise TraceError(
            f"{len(traces)} traces, {len(groups)} groups and {len(rewards)} rewards.", "Give as many of each."
        )
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    before, after, counts = event_values(
        resolve_rows(traces, vocab),
        np.array([numbers[group] for group in groups], dtype=np.int64),
        np.array(rewards, dtype=np.float64),
    )
    with _uncollected():
        values = map(EventValue, before, after)
        return [list(islice(values, count)) for count in counts]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector, which would walk again and again over a million objects that stay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
