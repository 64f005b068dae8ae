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


def changed_share(first: Sequence[int], second: Sequence[int]) -> float:
    """Return how much of two attempts differs, in [0, 1]: 0 if they are equal, 1 if they share no token.

    It is the least number of tokens to delete and insert that makes one attempt the other, over the length of
    both. At 0 a model repeats itself in turns, the collapse that SCoRe (arXiv 2409.12917, section 4) shows by
    edit distances; the paper's own normalisation is not known here.

    Args:
        first: Token ids of the first attempt.
        second: Token ids of the second attempt.
    """
    both = len(first) + len(second)
    return (both - 2 * _common(first, second)) / both if both else 0.0


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of a longest common subsequence, with a row of the table as the bits of one number.

    (H. Hyyrö, "Bit-parallel LCS-length computation revisited", AWOCA 2004.)
    """
    where: dict[int, int] = {}
    for place, token in enumerate(second):
        where[token] = where.get(token, 0) | 1 << place
    every = (1 << len(second)) - 1
    row = every
    for token in first:
        matched = row & where.get(token, 0)
        row = ((row + matched) | (row - matched)) & every
    return len(second) - row.bit_count()
