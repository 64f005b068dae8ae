"""A response cut into steps: nothing is lost, and each but the last ends where a step ends."""

from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.edits import EditVocab
from halluc_plugin.sampling.states import Space

EOS, STEP = 0, 1
SPACE = Space(EditVocab(backtrack=2), frozenset({EOS}), frozenset({STEP}), max_tokens=12)


def test_steps_end_with_delimiters_or_eos():
    """EOS right behind a delimiter belongs to the step before it; a step without an end is a step."""
    assert SPACE.steps([5, STEP, 6, 7, STEP, EOS]) == [(5, STEP), (6, 7, STEP, EOS)]
    assert SPACE.steps([5, STEP, 6, EOS]) == [(5, STEP), (6, EOS)]
    assert SPACE.steps([5, STEP, 6]) == [(5, STEP), (6,)]
    assert SPACE.steps([EOS]) == [(EOS,)]
    assert SPACE.steps([]) == []


@given(st.lists(st.integers(3, 6) | st.just(STEP)), st.booleans())
def test_steps_are_the_response(body, ended):
    """Put together they are what was cut; there are as many as delimiters, and one more behind the last."""
    ids = [*body, *([EOS] if ended else [])]
    steps = SPACE.steps(ids)
    assert [token for step in steps for token in step] == ids
    assert all(step[-1] == STEP for step in steps[:-1])
    behind = body[-1:] != [STEP] and bool(body)
    assert len(steps) == max(body.count(STEP) + behind, bool(ids))
