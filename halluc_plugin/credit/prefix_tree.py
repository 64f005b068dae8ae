"""Value states by the group itself: by the rewards of the answers that passed through a state."""

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
    """Return the values around events, computed from the group's own answers.

    A state is a collapsed prefix. Its value is the mean reward of the group's answers that passed through it,
    each counted once however often it did. States inside a run of edits do not count, as an event is one
    move. A state that only one answer visited has that answer's reward, so that an event between two such
    states gains nothing: an event gains or loses where other answers reached the state before it and ended
    differently. The method needs no further samples and no verifier; in a group of n a value is a mean of at
    most n rewards.

    Args:
        traces: The ids of B raw traces, without prompt and padding.
        groups: A key for each trace; answers to one prompt have the same.
        rewards: The reward of each whole answer, B of them.
        vocab: The edit vocabulary of the ids.

    Returns:
        For each trace, the values around its effective events, in order. Edits on an empty response are not
        effective and have none.

    Raises:
        TraceError: The three do not have the same length, or an id is negative.
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
