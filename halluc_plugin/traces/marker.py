"""The natural-language twin of a trace: the same errors and corrections, announced in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from halluc_plugin.edits import EditKind, EditState, EditVocab
from halluc_plugin.errors import TraceError
from halluc_plugin.traces.writing import refuse_edits


@dataclass(frozen=True)
class MarkerTwin:
    """A response that corrects itself in words.

    Attributes:
        ids: Text ids; erased text is kept, and a marker stands where edits stood.
        erased: For each id, whether the original trace erased it: the tokens that masked training leaves out
            of the loss. No edit is left to tell.
    """

    ids: tuple[int, ...]
    erased: tuple[bool, ...]


def marker_twin(trace: Sequence[int], marker: Sequence[int], vocab: EditVocab) -> MarkerTwin:
    """Replace each maximal run of edit tokens by marker ids, such as those of " Wait, that is wrong.".

    Args:
        trace: Ids of a raw trace.
        marker: Text ids.
        vocab: Which ids edit.

    Raises:
        TraceError: The marker is empty or holds an edit token.
    """
    refuse_edits(marker, vocab, "marker")
    if not marker:
        raise TraceError("The marker is empty.", "Pass the ids of the words that announce a correction.")
    state = EditState(vocab)
    gone = {index for token in trace for index in state.push(token)}
    ids: list[int] = []
    erased: list[bool] = []
    for is_text, run in groupby(enumerate(trace), key=lambda action: vocab.kind(action[1]) is EditKind.TEXT):
        actions = list(run) if is_text else [(-1, token) for token in marker]
        ids += [token for _, token in actions]
        erased += [index in gone for index, _ in actions]
    return MarkerTwin(tuple(ids), tuple(erased))
