"""The natural-language twin keeps all text and announces each event once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import TraceError
from halluc_plugin.traces import MarkerTwin, marker_twin

VOCAB = EditVocab(backtrack=10, step=11, step_delimiters=frozenset({0}), restart=12)


def test_each_run_of_edits_becomes_one_marker():
    """Two events of two and one edits give two markers; erased text stays and is told apart."""
    twin = marker_twin([1, 5, 6, 10, 10, 2, 7, 10, 3], [20, 21], VOCAB)
    assert twin == MarkerTwin(
        ids=(1, 5, 6, 20, 21, 2, 7, 20, 21, 3),
        erased=(False, True, True, False, False, False, True, False, False, False),
    )


@given(st.lists(st.sampled_from([0, 1, 2, 10, 11, 12]), max_size=20))
def test_the_text_is_kept_and_no_edit_is_left(trace):
    """Without its markers the twin is the trace without its edits, for the full grammar."""
    twin = marker_twin(trace, [20], VOCAB)
    assert [i for i in twin.ids if i != 20] == [i for i in trace if i < 10]
    assert len(twin.ids) == len(twin.erased)
    assert not any(gone for i, gone in zip(twin.ids, twin.erased, strict=True) if i == 20)


@pytest.mark.parametrize(
    ("marker", "message"), [([], "marker is empty"), ([10], "marker holds the edit token")]
)
def test_markers_without_words_are_refused(marker, message):
    """An empty marker would hide the event, an edit token would act on the text."""
    with pytest.raises(TraceError, match=message):
        marker_twin([1, 10], marker, VOCAB)
