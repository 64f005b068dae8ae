"""Warning signs of a run: what shows one, and when it is told."""

import pytest

from halluc_plugin.rl.warning_signs import PATIENCE, Sign, SignWatch, signs

FINE = {
    "backtrack/rate": 0.2,
    "backtrack/degenerate/groups": 0.9,
    "backtrack/stutter_rate": 0.5,
    "backtrack/truncated": 0.5,
}


@pytest.mark.parametrize(
    ("name", "value", "sign"),
    [
        ("rate", 0.0, Sign.SILENT),
        ("degenerate/groups", 1.0, Sign.ALIKE),
        ("stutter_rate", 0.51, Sign.STUTTERING),
        ("truncated", 0.51, Sign.CUT_OFF),
    ],
)
def test_a_metric_shows_a_sign(name, value, sign):
    """Each by itself; a healthy step shows none, and a metric that a run lacks is none."""
    assert list(signs(FINE, may_edit=True)) == []
    assert list(signs(FINE | {f"backtrack/{name}": value}, may_edit=True)) == [sign]
    assert list(signs({}, may_edit=True)) == []


def test_credit_is_something_to_learn_from():
    """Where edits are paid, groups that all earn the same have advantages yet."""
    alike = FINE | {"backtrack/degenerate/groups": 1.0}
    assert list(signs(alike | {"backtrack/degenerate/credit": 0.9}, may_edit=True)) == []
    assert list(signs(alike | {"backtrack/degenerate/credit": 1.0}, may_edit=True)) == [Sign.ALIKE]


def test_silence_that_was_asked_for_is_no_sign():
    """Where edits are banned, or answers are refined in turns, nothing can be taken back."""
    assert list(signs(FINE | {"backtrack/rate": 0.0}, may_edit=False)) == []


def test_a_sign_is_told_once_and_again_when_it_comes_back():
    """When it has lasted; a step without it begins the count anew."""
    watch, silent = SignWatch(), FINE | {"backtrack/rate": 0.0}
    steps = [*[silent] * (PATIENCE + 3), FINE, *[silent] * PATIENCE]
    told = [watch.observe(step, metrics, may_edit=True) for step, metrics in enumerate(steps, 1)]
    assert [step for step, said in enumerate(told, 1) if said] == [PATIENCE, len(steps)]
    assert told[PATIENCE - 1][0].startswith("for 3 steps, up to step 3, no answer takes anything back")
    assert "halluc_sft" in told[-1][0]
