"""Make the natural-language twin of a trace: the same errors and corrections, announced in words."""

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
        ids: Token ids of text; erased text is kept, and a marker replaces each run of edits.
        erased: For each id, whether the original trace erased it, so that masked training leaves it out of
            the loss. The ids have no edits from which this could be computed.
    """

    ids: tuple[int, ...]
    erased: tuple[bool, ...]


def marker_twin(trace: Sequence[int], marker: Sequence[int], vocab: EditVocab) -> MarkerTwin:
    """Replace each maximal run of edit tokens by marker ids, such as those of " Wait, that is wrong.".

    Args:
        trace: Token ids of a raw trace.
        marker: Token ids of the marker.
        vocab: The edit vocabulary of the ids.

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
