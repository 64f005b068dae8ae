"""A response cut into the steps that a scorer gives values to: 0 is EOS, 1 ends a step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.errors import TraceError
from halluc_plugin.scorers.steps import cut_steps


@pytest.mark.parametrize(
    ("ids", "steps"),
    [
        ((5, 1, 6, 7, 1), ((5, 1), (6, 7, 1))),
        ((5, 1, 6, 0), ((5, 1), (6, 0))),
        ((5, 1, 0), ((5, 1, 0),)),
        ((1, 1), ((1,), (1,))),
        ((0,), ((0,),)),
    ],
)
def test_steps_by_hand(ids, steps):
    """A step ends with its delimiter or with EOS, and an EOS behind a delimiter is part of the last step."""
    assert cut_steps(ids, {1}, {0}) == steps


@pytest.mark.parametrize(
    ("ids", "said"),
    [((), "0 tokens"), ((5, 6), "last 2 tokens"), ((5, 1, 6), "last 1 tokens"), ((5, 0, 6, 1), "goes on")],
)
def test_a_response_without_a_step_end_is_refused(ids, said):
    """Its end would have no value, and neither has what stands behind an EOS."""
    with pytest.raises(TraceError, match=said):
        cut_steps(ids, {1}, {0})


@given(st.lists(st.lists(st.integers(2, 9), min_size=1), min_size=1), st.booleans())
def test_steps_put_together_are_the_response(texts, ends):
    """Nothing is lost, nothing is added, and no step is empty."""
    ids = [token for text in texts for token in (*text, 1)] + [0] * ends
    steps = cut_steps(ids, {1}, {0})
    assert [token for step in steps for token in step] == ids
    assert [list(step) for step in steps[:-1]] == [[*text, 1] for text in texts[:-1]]
