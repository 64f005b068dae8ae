"""Which actions decide, by hand."""

import pytest

from halluc_plugin.edits import EditVocab, resolve_row
from halluc_plugin.edits.decisions import decisions

DOT, END, B, S, R = 0, 9, 10, 11, 12
FULL = EditVocab(B, step=S, step_delimiters=frozenset({DOT}), restart=R)


@pytest.mark.parametrize(
    ("ids", "decided"),
    [
        # An end, an edit, and what stands behind a finished step; its own beginning, erased, does not.
        ([1, DOT, 2, DOT, S, 3, DOT, END], [0, 0, 0, 0, 1, 1, 0, 1]),
        # The first token of a response follows nothing that could be taken back, behind a restart too.
        ([1, DOT, R, 2, 3, END], [0, 0, 1, 0, 0, 1]),
        # Each edit of several decides; after edits by token, what follows a step that stands.
        ([1, DOT, 2, 3, B, B, 4, END], [0, 0, 0, 0, 1, 1, 1, 1]),
        # An edit without effect is one, too.
        ([B, END], [1, 1]),
        # In the middle of a step nothing is decided but edits.
        ([1, 2, B, 3, END], [0, 0, 1, 0, 1]),
    ],
)
def test_decisions_by_hand(ids, decided):
    """Edits, ends and live beginnings of steps behind finished ones decide, all else is text."""
    assert decisions(resolve_row(ids, FULL), {DOT}, {END})[0].int().tolist() == decided
