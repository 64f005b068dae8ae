"""The two-turn twin: a first attempt that the edits took back, a request, the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.edits import EditVocab, collapse
from halluc_plugin.errors import TraceError
from halluc_plugin.traces import MarkerTwin, turn_twin, unmatched_blocks
from halluc_plugin.traces.turns import changed_share

END, ASK = 9, [20, 21]
VOCAB = EditVocab(backtrack=10, step=11, step_delimiters=frozenset({0}), restart=12)


def test_an_error_is_the_end_of_the_first_attempt():
    """What stood before the first event ends there; what was erased, its end and the request are told."""
    twin = turn_twin([1, 5, 6, 10, 10, 2, 7, 10, 3, END], ASK, VOCAB, END)
    assert twin == MarkerTwin(
        ids=(1, 5, 6, END, 20, 21, 1, 2, 3, END),
        erased=(False, True, True, True, True, True, False, False, False, False),
    )


def test_a_right_answer_is_given_twice():
    """Without an event both attempts are the answer, and both are learned."""
    twin = turn_twin([1, 2, END], ASK, VOCAB, END)
    assert twin.ids == (1, 2, END, 20, 21, 1, 2, END)
    assert twin.erased == (False, False, False, True, True, False, False, False)


def test_an_edit_at_the_start_is_no_event():
    """What erases nothing ends no attempt."""
    assert turn_twin([10, 1, END], ASK, VOCAB, END).ids == (1, END, 20, 21, 1, END)


@given(st.lists(st.sampled_from([0, 1, 2, 10, 11, 12]), max_size=20))
def test_the_second_attempt_is_the_resolved_answer(trace):
    """Behind the request stands what the edits leave, never masked; one flag an id."""
    twin = turn_twin([*trace, END], ASK, VOCAB, END)
    answer = collapse([*trace, END], VOCAB)
    assert list(twin.ids[-len(answer) :]) == answer
    assert not any(twin.erased[-len(answer) :])
    assert twin.ids.count(END) == 2
    assert len(twin.ids) == len(twin.erased)


@pytest.mark.parametrize(
    ("trace", "turn", "message"),
    [([1, END], [], "turn is empty"), ([1, END], [10], "turn holds the edit token"), ([1], ASK, "not end")],
)
def test_refuses(trace, turn, message):
    """A turn without words, one that edits, and a trace without an answer."""
    with pytest.raises(TraceError, match=message):
        turn_twin(trace, turn, VOCAB, END)


IDS = st.lists(st.integers(0, 4), max_size=12)


def test_how_much_of_two_attempts_differs_by_hand():
    """Equal ones 0, without a common token 1; one of three replaced is 2 of 6, one of two left out 1 of 3."""
    pairs = [([1, 2], [1, 2]), ([1, 2], [3]), ([1, 2, 3], [1, 4, 3]), ([1, 2], [2]), ([], [])]
    assert [changed_share(*pair) for pair in pairs] == [0, 1, 2 / 6, 1 / 3, 0]


@given(IDS, IDS)
def test_what_differs_is_a_shortest_edit_script(first, second):
    """It has as many tokens to delete and insert as Myers' algorithm finds."""
    blocks = unmatched_blocks(first, second)
    changed = sum(b.sample_end - b.sample_start + b.reference_end - b.reference_start for b in blocks)
    assert changed_share(first, second) == (changed / (len(first) + len(second)) if first or second else 0)
