"""Warning signs of a run: what shows one, and when it is told."""

import pytest

from halluc_plugin.metrics import StepEnd, discrimination
from halluc_plugin.rl.warning_signs import PATIENCE, Sign, SignWatch, blind_start, signs

FINE = {
    "backtrack/rate": 0.2,
    "backtrack/degenerate/groups": 0.9,
    "backtrack/stutter_rate": 0.5,
    "backtrack/truncated": 0.5,
    "backtrack/scorer_overrates": 0.5,
}


@pytest.mark.parametrize(
    ("name", "value", "sign"),
    [
        ("rate", 0.0, Sign.SILENT),
        ("degenerate/groups", 1.0, Sign.ALIKE),
        ("stutter_rate", 0.51, Sign.STUTTERING),
        ("truncated", 0.51, Sign.CUT_OFF),
        ("scorer_overrates", 0.51, Sign.OVERRATED),
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


def start(dead, live):
    """What 0s and 1s at dead and at live places come to, each place of an answer of its own."""
    places = [(True, mass) for mass in dead] + [(False, mass) for mass in live]
    return discrimination([[StepEnd(kind, float(mass))] for kind, mass in places])


def test_a_blind_start_is_told_with_figures_cause_and_cure():
    """One that edits as often alive as dead, over hundreds of places; the cure depends on the run."""
    found = start([1, 0] * 200, [0, 1] * 150)
    told = blind_start(found, credited=False)
    assert "edits with probability 0.50 where the goal is out of reach (400 places) and 0.50" in told
    assert "D = 0.00, 95 % interval [-0.07, 0.07]" in told
    assert "bury the token" in told
    assert "halluc train or +recipe=halluc_sft. Or pay edits what they gain" in told
    assert "which this run has" in blind_start(found, credited=True)
    assert blind_start(start([0] * 400, [0] * 300), credited=False) is not None  # a token never used


@pytest.mark.parametrize(
    "found",
    [
        start([1, 0] * 200, [0, 0, 0, 1] * 75),  # D = 0.25
        start([1, 0] * 5, [0, 1] * 5),  # D = 0 of ten places each may be anything
        start([0] * 400, []),
        start([], [0] * 400),
    ],
)
def test_other_starts_are_left_in_peace(found):
    """Where D is above 0, or might be, or is not known for want of one kind of place."""
    assert blind_start(found, credited=False) is None
