"""The expert of a data set: what it does in right and wrong states, and what gives it no right answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.edits import EditState, EditVocab
from halluc_plugin.errors import DataError
from halluc_plugin.training.experts import Expert, Recovery

B, EOS = 1, 0
VOCAB = EditVocab(backtrack=B)
ROWS = [TraceRow([9], [5, 6, 7, EOS]), TraceRow([8], [4, B, 3, EOS]), TraceRow([9], [5, 6, 7, EOS])]


def expert(recovery):
    """The answers are 5 6 7 to the prompt 9, and 3 to the prompt 8."""
    return Expert.of(ROWS, VOCAB, frozenset({EOS}), recovery)


@pytest.mark.parametrize(
    ("live", "backtrack", "place"),
    [
        ([], 5, 5),
        ([5, 6], 7, 7),
        ([5, 6, 7], EOS, EOS),
        ([4], B, 6),
        ([4, 6], B, 7),
        ([5, 6, 7, 7], B, EOS),
        ([5, 6, 7, 7, 7, 7], B, EOS),
    ],
)
def test_what_it_does_by_hand(live, backtrack, place):
    """It goes on from right text; from wrong text it takes back, or writes what belongs at the place."""
    assert expert(Recovery.BACKTRACK).action([9], live) == backtrack
    assert expert(Recovery.PLACE).action([9], live) == place


def test_every_state_of_a_trace_is_labelled():
    """The state before the error, the error's, and the one that the backtrack leads back to."""
    row = TraceRow([8], [4, 4, B, B, 3, EOS])
    assert expert(Recovery.BACKTRACK).actions(row) == [3, B, B, B, 3, EOS]
    assert expert(Recovery.PLACE).actions(row) == [3, EOS, EOS, EOS, 3, EOS]


@given(st.lists(st.integers(2, 9), max_size=6))
def test_from_any_state_it_comes_to_the_right_answer_by_the_shortest_way(live):
    """As many backtracks as there are tokens behind the first error, then the rest of the answer."""
    answer, state, steps = [5, 6, 7, EOS], EditState(VOCAB).extend(live), 0
    common = next((i for i, pair in enumerate(zip(live, answer, strict=False)) if pair[0] != pair[1]), None)
    common = min(len(live), 3) if common is None else common
    while not state.live_ids or state.live_ids[-1] != EOS:
        state.push(expert(Recovery.BACKTRACK).action([9], state.live_ids))
        steps += 1
    assert state.live_ids == answer
    assert steps == len(live) - common + len(answer) - common


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([TraceRow([9], [5, EOS]), TraceRow([9], [6, EOS])], "another answer"),
        ([TraceRow([9], [5])], "does not end"),
        ([TraceRow([9], [5, B])], "does not end"),
    ],
)
def test_data_without_one_right_answer_are_refused(rows, said):
    """Two right answers to a prompt, and answers that do not end."""
    with pytest.raises(DataError, match=said):
        Expert.of(rows, VOCAB, frozenset({EOS}), Recovery.BACKTRACK)


def test_an_unknown_prompt_is_refused():
    """There is nothing that the expert could say."""
    with pytest.raises(DataError, match="no answer to"):
        expert(Recovery.PLACE).action([7], [])
