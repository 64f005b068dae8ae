"""Traces and pairs of resets, by hand: [RESET] of arXiv 2409.14586."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.edits import EditVocab, collapse, resolve_row
from halluc_plugin.edits.builders import ErasedTokens, response_mask
from halluc_plugin.errors import EditVocabError, TraceError
from halluc_plugin.traces.resets import needless_reset, reset, wanted_reset

EOS, BACK, RESTART = 0, 10, 12
VOCAB = EditVocab(backtrack=BACK, restart=RESTART)
HOW = {"vocab": VOCAB, "eos_ids": {EOS}}
SAFE, HARMFUL = (1, 2, EOS), (3, 4, 5, EOS)
ANSWERS = st.lists(st.integers(1, 9), min_size=1, max_size=6).map(lambda ids: (*ids, EOS))


def test_a_trace_by_hand():
    """Two tokens of the harmful answer, the restart, and the safe answer."""
    assert reset(HARMFUL, 2, SAFE, **HOW).ids == (3, 4, RESTART, 1, 2, EOS)


def test_the_prefix_is_out_of_the_loss():
    """The restart, the safe answer and EOS are imitated, what is taken back is not."""
    mask = response_mask(resolve_row(reset(HARMFUL, 2, SAFE, **HOW).ids, VOCAB), ErasedTokens.MASK)
    assert torch.as_tensor(mask).flatten().tolist() == [False, False, True, True, True, True]


def test_pairs_by_hand():
    """A reset over the harmful answer; the safe answer over one that is reset to the harmful answer."""
    wanted = wanted_reset(SAFE, HARMFUL, 3, **HOW)
    assert [side.ids for side in wanted] == [(3, 4, 5, RESTART, 1, 2, EOS), HARMFUL]
    needless = needless_reset(SAFE, HARMFUL, 1, **HOW)
    assert [side.ids for side in needless] == [SAFE, (1, RESTART, 3, 4, 5, EOS)]


@given(ANSWERS, ANSWERS, st.data())
def test_a_trace_comes_to_its_answer(written, answer, data):
    """Whatever was begun, the whole of it is taken back, and both sides of a pair begin with it."""
    length = data.draw(st.integers(1, len(written) - 1))
    ids = reset(written, length, answer, **HOW).ids
    assert tuple(collapse(ids, VOCAB)) == answer
    assert ids[:length] == written[:length]


@pytest.mark.parametrize("length", [0, 4])
def test_a_prefix_has_a_token_and_no_end(length):
    """Nothing and more than all cannot be taken back."""
    with pytest.raises(TraceError, match="tokens of an answer of 3 are to be"):
        reset(HARMFUL, length, SAFE, **HOW)


@pytest.mark.parametrize(("written", "answer"), [((3, BACK, EOS), SAFE), (HARMFUL, (RESTART, EOS))])
def test_answers_have_no_edits(written, answer):
    """They are resolved text."""
    with pytest.raises(TraceError, match="answer holds the edit token"):
        reset(written, 1, answer, **HOW)


def test_a_vocabulary_without_the_token_is_refused():
    """Its name and what to do are told."""
    with pytest.raises(EditVocabError, match="No token for RESTART"):
        reset(HARMFUL, 1, SAFE, EditVocab(backtrack=BACK), eos_ids={EOS})
