"""Worse twins of traces: which places are wrong, and that the sides differ from there on only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.data.pair_files import PairRow
from halluc_plugin.edits import EditVocab, collapse
from halluc_plugin.errors import TraceError
from halluc_plugin.traces.contrast import effective_events, is_wrong_place, left_standing, moved

B, STEP, END, LINE = 90, 91, 92, 7
TOKENS = EditVocab(backtrack=B)
STEPS = EditVocab(backtrack=B, step=STEP, step_delimiters=frozenset({LINE}))


def places(trace, event, vocab=TOKENS):
    """All wrong places of an event."""
    return [p for p in range(len(trace) + 2) if is_wrong_place(trace, event, p, vocab, {END})]


def test_wrong_places_by_hand():
    """Anywhere behind enough text to erase, before the end, where another text is left."""
    trace = [1, 2, 3, B, 4, END]  # leaves 1 2 4
    (event,) = effective_events(trace, TOKENS)
    assert (event.start, event.stop) == (3, 4)
    # 1 ⌫ 2 3 4 leaves 2 3 4; 1 2 ⌫ 3 4 leaves 1 3 4; 1 2 3 4 ⌫ leaves 1 2 3; not behind the end.
    assert places(trace, event) == [1, 2, 4]
    assert moved(trace, event, 2) == [1, 2, B, 3, 4, END]
    assert moved(trace, event, 4) == [1, 2, 3, 4, B, END]


def test_a_place_that_leaves_the_same_text_is_not_wrong():
    """Of equal tokens it does not matter which one is taken back."""
    (event,) = effective_events([1, 3, 3, B, 4, END], TOKENS)
    assert places([1, 3, 3, B, 4, END], event) == [1, 4]


def test_edits_are_not_moved_where_one_of_them_would_do_nothing():
    """Two edits need two live tokens, counted with what other events have taken back."""
    trace = [1, 2, 3, B, B, 4, END]
    (event,) = effective_events(trace, TOKENS)
    assert places(trace, event) == [2, 4]


def test_step_backtracks_stand_behind_finished_steps():
    """A step backtrack is moved behind another step, never into one."""
    trace = [1, LINE, 2, LINE, STEP, 3, LINE, END]
    (event,) = effective_events(trace, STEPS)
    assert places(trace, event, STEPS) == [2, 6]


def test_an_edit_without_effect_is_no_event_to_move():
    """An event of which an edit erases nothing is left alone."""
    assert effective_events([B, 1, 2, B, B, B, 3], TOKENS) == []


@given(st.lists(st.sampled_from([1, 2, 3, B]), max_size=9), st.data())
def test_twins_differ_from_the_first_edit_on_only(body, data):
    """Both sides have the same tokens, share what stands before the first of both places, and no answer."""
    trace = [*body, END]
    for event in effective_events(trace, TOKENS):
        found = places(trace, event)
        if not found:
            continue
        place = data.draw(st.sampled_from(found))
        twin = moved(trace, event, place)
        assert sorted(twin) == sorted(trace)
        assert PairRow([0], trace, twin).shared == min(place, event.start)
        assert collapse(twin, TOKENS) != collapse(trace, TOKENS)
        assert twin[-1] == END


def test_an_error_is_left_standing():
    """The twin ends where the trace takes back; the sides share all that was written until then."""
    trace = [1, 2, 3, B, 4, END]
    (event,) = effective_events(trace, TOKENS)
    twin = left_standing(trace, event, END)
    assert twin == [1, 2, 3, END]
    assert PairRow([0], trace, twin).shared == 3


@pytest.mark.parametrize("place", [-1, 3, 6])
def test_no_place_is_refused(place):
    """Outside the trace, or where the event is."""
    trace = [1, 2, 3, B, 4, END]
    (event,) = effective_events(trace, TOKENS)
    with pytest.raises(TraceError, match="another place"):
        moved(trace, event, place)
