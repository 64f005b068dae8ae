"""Which ids edit, and what is refused as contradictory."""

import pickle

import pytest

from halluc_plugin.edits import EditKind, EditVocab
from halluc_plugin.errors import EditVocabError

FULL = EditVocab(10, step=11, step_delimiters=frozenset({0, 1}), restart=12)


def test_kinds():
    """The three edits by their ids; delimiters and all else are text."""
    assert [FULL.kind(i) for i in (10, 11, 12, 0, 1, 13)] == [
        EditKind.BACKTRACK, EditKind.STEP, EditKind.RESTART, EditKind.TEXT, EditKind.TEXT, EditKind.TEXT,
    ]  # fmt: skip
    assert EditVocab(10).kind(11) is EditKind.TEXT


def test_roles_hold_what_exists():
    """Roles and ids name the edit tokens that were given, and no others."""
    assert FULL.roles == {"backtrack": 10, "step": 11, "restart": 12}
    assert EditVocab(10, restart=12).roles == {"backtrack": 10, "restart": 12}
    assert EditVocab(10).edit_ids == {10}
    assert FULL.edit_ids == {10, 11, 12}


def test_any_iterable_of_delimiters_is_taken():
    """A list of delimiters is stored as a frozenset, so that vocabularies compare, hash and travel."""
    listed = EditVocab(10, step=11, step_delimiters=[1, 0], restart=12)
    assert listed == FULL
    assert hash(listed) == hash(FULL)
    assert pickle.loads(pickle.dumps(FULL)) == FULL


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backtrack": -1}, "The backtrack token has id -1. Fix: Pass an id of the tokenizer, at least 0."),
        ({"backtrack": 1, "restart": -2}, "The restart token has id -2."),
        ({"backtrack": 1, "restart": 1}, "Two edit tokens share an id: .* Fix: Give each edit token an id"),
        (
            {"backtrack": 1, "step": 2, "step_delimiters": [2, 5]},
            "Step delimiter 2 is also an edit token .* Fix: Remove edit tokens from step_delimiters.",
        ),
        ({"backtrack": 1, "step": 2, "step_delimiters": [1]}, "Step delimiter 1 is also an edit token"),
        ({"backtrack": 1, "step": 2, "step_delimiters": [-5]}, "Step delimiter -5 is negative."),
        ({"backtrack": 1, "step": 2}, r"id 2\) is given without step delimiters. Fix: .*find_delimiters"),
        ({"backtrack": 1, "step_delimiters": [0]}, "delimiters are given without a step backtrack token"),
    ],
)
def test_contradictions_are_refused(arguments, message):
    """Each message names the offending id and the fix."""
    with pytest.raises(EditVocabError, match=message):
        EditVocab(**arguments)
