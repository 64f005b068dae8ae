"""Make the two-turn twin of a trace: a first attempt, a request to try again, and the answer."""

from collections.abc import Sequence

from halluc_plugin.edits import EditState, EditVocab
from halluc_plugin.errors import TraceError
from halluc_plugin.traces.marker import MarkerTwin
from halluc_plugin.traces.writing import refuse_edits


def turn_twin(trace: Sequence[int], turn: Sequence[int], vocab: EditVocab, end: int) -> MarkerTwin:
    """Return the two-turn twin of a trace.

    The first attempt is the text before the first event, the second is the resolved answer.

    Args:
        trace: Token ids of a raw trace, with its end.
        turn: Token ids between the attempts, the request to try again.
        vocab: The edit vocabulary of the ids.
        end: Id that ends an attempt.

    Returns:
        First attempt, ``end``, ``turn`` and answer. ``erased`` marks the request, and, if the first attempt
        was taken back, what was erased of it with its end. Without an event the answer is given twice.

    Raises:
        TraceError: The turn is empty or holds an edit token, or the answer does not end.
    """
    refuse_edits(turn, vocab, "turn")
    if not turn:
        raise TraceError("The turn is empty.", "Pass the ids of the request to try again.")
    state, first = EditState(vocab), None
    for token in trace:
        before = list(state.live_indices)
        if state.push(token) and first is None:
            first = before
    if state.live_ids[-1:] != [end]:
        raise TraceError("A trace does not end, so there is no answer to give again.", "Leave it out.")
    if first is None:
        attempt, wrong = list(state.live_ids), [False] * len(state.live_ids)
    else:
        kept = set(state.live_indices)
        attempt = [*(trace[index] for index in first), end]
        wrong = [*(index not in kept for index in first), True]
    ids = [*attempt, *turn, *state.live_ids]
    return MarkerTwin(tuple(ids), (*wrong, *([True] * len(turn)), *([False] * len(state.live_ids))))
