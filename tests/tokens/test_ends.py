"""Where an answer ends: stop strings in text, and those that are tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.tokens.ends import cut


@pytest.mark.parametrize(
    ("text", "until", "left"),
    [
        ("1#2#3", ["#"], ("1", "#")),
        ("12", ["#"], ("12", None)),
        ("12", [], ("12", None)),
        ("12", [""], ("12", None)),
        ("#", ["#"], ("", "#")),
        ("a b c", ["c", "b"], ("a ", "b")),
        ("a b c", ["b", "c"], ("a ", "b")),
    ],
)
def test_stop_strings_by_hand(text, until, left):
    """The text before the first of them, and which it is; empty ones are none."""
    assert cut(text, until) == left


@given(st.text("ab#", max_size=12), st.lists(st.text("ab#", max_size=3), max_size=4))
def test_stop_strings_cut_as_in_lm_eval(text, until):
    """A server's text ends where lm-eval's models end it, overlapping and empty stop strings included."""
    models = pytest.importorskip("lm_eval.models.utils")
    left, stop = cut(text, until)
    assert left == models.postprocess_generated_text(text, until, None)
    assert (stop is None) == (left == text)
    assert stop is None or text.startswith(left + stop)
