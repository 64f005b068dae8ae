"""Pairs of finished answers and of their refinements, by hand: ReVISE, arXiv 2502.14565."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.data.pair_files import PairRow, fault
from halluc_plugin.edits import EditVocab, collapse
from halluc_plugin.errors import EditVocabError, TraceError
from halluc_plugin.traces.refinements import refinement_pair

EOS, BACK, RESTART = 0, 10, 12
VOCAB = EditVocab(backtrack=BACK, restart=RESTART)
HOW = {"vocab": VOCAB, "eos": EOS, "eos_ids": {EOS}}
RIGHT, WRONG = (1, 2, EOS), (3, 4, EOS)
ANSWERS = st.lists(st.integers(1, 9), min_size=1, max_size=6).map(lambda ids: (*ids, EOS))


def test_the_pairs_by_hand():
    """What is right stands; what is wrong is restarted, alone to verify, with an answer to correct."""
    stands = refinement_pair(RIGHT, right=True, **HOW)
    assert [side.ids for side in stands] == [(1, 2, EOS), (1, 2, RESTART)]
    verified = refinement_pair(WRONG, right=False, **HOW)
    assert [side.ids for side in verified] == [(3, 4, RESTART), (3, 4, EOS)]
    corrected = refinement_pair(WRONG, right=False, answer=RIGHT, **HOW)
    assert [side.ids for side in corrected] == [(3, 4, RESTART, 1, 2, EOS), (3, 4, EOS)]


@given(ANSWERS, ANSWERS, st.booleans(), st.booleans())
def test_sides_share_the_attempt_and_come_to_what_stands(attempt, answer, right, correcting):
    """Both begin with all of the attempt and differ behind it; a correction leaves its answer alone."""
    pair = refinement_pair(attempt, right=right, answer=answer if correcting else None, **HOW)
    row = PairRow([5], *(list(side.ids) for side in pair))
    assert row.shared == len(attempt) - 1
    assert fault(row) is None
    left = tuple(collapse(pair.chosen.ids, VOCAB))
    assert left == (attempt if right else answer if correcting else ())


@pytest.mark.parametrize(
    ("attempt", "answer", "told"),
    [
        ((EOS,), RIGHT, "attempt is empty"),
        ((3, BACK, EOS), RIGHT, "attempt holds the edit token"),
        (WRONG, (1, BACK, EOS), "answer holds the edit token"),
        (WRONG, (1, 2), "does not end"),
        (WRONG, (), "does not end"),
    ],
)
def test_what_cannot_be_refined_is_refused(attempt, answer, told):
    """An attempt is finished text, and so is the answer."""
    with pytest.raises(TraceError, match=told):
        refinement_pair(attempt, right=False, answer=answer, **HOW)


def test_a_vocabulary_without_a_restart_is_refused():
    """Nothing else takes a whole answer back."""
    with pytest.raises(EditVocabError, match="No token for RESTART"):
        refinement_pair(WRONG, EditVocab(backtrack=BACK), right=False, eos=EOS, eos_ids={EOS})
