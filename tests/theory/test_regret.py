"""Regret growth, against matrix powers, closed forms, simulation and real edits."""

import math

import numpy as np
import pytest

from halluc_plugin.edits import EditState, EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.theory import (
    EditWalk,
    Undo,
    expected_regret,
    growth_exponent,
    regret_rate,
    simulate_regret,
    simulated_exponent,
)
from halluc_plugin.theory.regret import usual_regret_bound

RIGHT, WRONG, BACKTRACK, STEP = 0, 1, 2, 3
WALKS = [
    EditWalk(0.1),
    EditWalk(0.1, 0.3),
    EditWalk(0.2, 0.5),
    EditWalk(0.05, 0.8),
    EditWalk(0.1, 0.4, Undo.SPAN),
    EditWalk(0.7, 0.9, Undo.SPAN),
]


def by_matrix_powers(walk, horizon):
    """Regret from powers of the dense transition matrix over the distance to a clean text."""
    size = horizon + 2
    step = np.zeros((size, size))
    step[0, 0], step[0, 1] = 1 - walk.error, walk.error
    for d in range(1, size):
        step[d, d - 1 if walk.undo is Undo.LAST else 0] += walk.recall
        step[d, min(d + 1, size - 1)] += 1 - walk.recall
    spoiled = [1 - np.linalg.matrix_power(step, t)[0, 0] for t in range(1, horizon + 1)]
    return np.cumsum(spoiled)


def test_no_recovery_by_hand():
    """At e = 0.1: spoiled with 0.1, 0.19, 0.271 after one, two, three actions."""
    assert expected_regret(EditWalk(0.1), 3) == pytest.approx([0.1, 0.29, 0.561])


def test_two_actions_with_backtracks_by_hand():
    """At e = 0.1, r = 0.6: clean after two with 0.9·0.9 + 0.1·0.6 = 0.87."""
    assert expected_regret(EditWalk(0.1, 0.6), 2) == pytest.approx([0.1, 0.1 + 0.13])


@pytest.mark.parametrize("walk", WALKS, ids=str)
def test_recursion_equals_matrix_powers(walk):
    """Both edits, forty actions."""
    assert expected_regret(walk, 40) == pytest.approx(by_matrix_powers(walk, 40), rel=1e-10)


@pytest.mark.parametrize(("error", "recall"), [(0.1, 0.0), (0.1, 0.4), (0.01, 0.05)])
def test_span_edits_have_the_stated_closed_form(error, recall):
    """R = e/(e + r) [T - l (1 - l^T)/(1 - l)] with l = 1 - e - r."""
    t, slow = np.arange(1, 101), 1 - error - recall
    closed = error / (error + recall) * (t - slow * (1 - slow**t) / (1 - slow))
    assert expected_regret(EditWalk(error, recall, Undo.SPAN), 100) == pytest.approx(closed)


def test_without_recall_both_edits_are_the_same_walk():
    """Edits that never come cannot differ."""
    last, span = (expected_regret(EditWalk(0.03, 0.0, undo), 200) for undo in Undo)
    assert last == pytest.approx(span)


@pytest.mark.parametrize(
    ("walk", "rate"),
    [
        (EditWalk(0.05, 0.8), 0.05 / 0.65),
        (EditWalk(0.05, 0.2, Undo.SPAN), 0.05 / 0.25),
        (EditWalk(0.5), 1.0),
        (EditWalk(0.5, 0.4), 1.0),
        (EditWalk(0.0), 0.0),
    ],
)
def test_long_runs_approach_the_rate(walk, rate):
    """To e/(e + 2r - 1) or e/(e + r), to 1 where single-token edits do not return, to 0 without errors."""
    assert regret_rate(walk) == pytest.approx(rate)
    late = np.diff(expected_regret(walk, 2000)[[999, 1999]])[0] / 1000
    assert late == pytest.approx(rate, rel=1e-3)


def test_early_regret_without_return_is_quadratic_with_the_stated_coefficient():
    """For r < 1/2 and e T << 1: R = (e T²/2)(1 - 2r)/(1 - r), to a term of order e T."""
    for recall in (0.0, 0.2, 0.4):
        regret = expected_regret(EditWalk(1e-9, recall), 4000)[-1]
        assert regret / (1e-9 * 4000**2 / 2) == pytest.approx((1 - 2 * recall) / (1 - recall), rel=0.02)


def test_at_recall_one_half_regret_grows_with_the_power_three_halves():
    """R = (4/3) sqrt(2/pi) e T^1.5, to a relative term of order 1/sqrt(T)."""
    regret = expected_regret(EditWalk(1e-9, 0.5), 4000)[-1]
    assert regret / (1e-9 * 4000**1.5) == pytest.approx(4 / 3 * math.sqrt(2 / math.pi), rel=0.03)


@pytest.mark.parametrize("c", [0.5, 1.0, 4.0])
def test_recall_of_order_one_over_the_horizon_leaves_regret_quadratic(c):
    """The usual corollary fails: at r = c/T, R/(e T²) tends to 1/c - (1 - exp(-c))/c², not to 0."""
    limit = 1 / c - (1 - math.exp(-c)) / c**2
    for horizon in (1000, 10_000):
        regret = expected_regret(EditWalk(1e-9, c / horizon, Undo.SPAN), horizon)[-1]
        assert regret / (1e-9 * horizon**2) == pytest.approx(limit, rel=0.01)


def test_usual_bound_lies_below_the_regret_it_bounds():
    """At r = 0 and e T << 1 the regret is (T + 1)/2 times the 'bound' T e."""
    ratio = expected_regret(EditWalk(1e-9), 1000)[-1] / usual_regret_bound(EditWalk(1e-9), 1000)
    assert ratio == pytest.approx(1001 / 2, rel=1e-5)


def test_regret_never_exceeds_the_horizon():
    """The quadratic is an early approximation: with e T >> 1 the regret is at most T."""
    regret = expected_regret(EditWalk(0.5), 1000)
    assert (regret <= np.arange(1, 1001)).all()
    assert regret[-1] < 0.01 * 0.5 * 1000**2 / 2


def replay(walk, draws):
    """The same walk on real token ids: what is spoiled is read off the live text of an EditState."""
    vocab = EditVocab(backtrack=BACKTRACK, step=STEP, step_delimiters=frozenset({RIGHT}))
    edit = BACKTRACK if walk.undo is Undo.LAST else STEP
    state, count, counts = EditState(vocab), 0, []
    for chance in draws:
        if WRONG in state.live_ids:
            state.push(edit if chance < walk.recall else WRONG)
        else:
            state.push(WRONG if chance < walk.error else RIGHT)
        count += WRONG in state.live_ids
        counts.append(count)
    return counts


@pytest.mark.parametrize("walk", WALKS, ids=str)
def test_counted_walk_is_what_edits_do_to_a_live_text(walk):
    """Run for run, the counts equal those of backtracks and step backtracks pushed to an EditState."""
    horizons, samples = [1, 2, 5, 20, 60], 40
    counted = simulate_regret(walk, horizons, samples, np.random.default_rng(1))
    draws = np.random.default_rng(1).random((60, samples))
    for run in range(samples):
        counts = replay(walk, draws[:, run])
        assert counted[run].tolist() == [counts[t - 1] for t in horizons]


@pytest.mark.parametrize("walk", WALKS, ids=str)
def test_simulation_meets_the_recursion(walk):
    """Means of 5,000 runs lie within four standard errors at every horizon."""
    horizons = [3, 30, 100]
    runs = simulate_regret(walk, horizons, 5000, np.random.default_rng(4))
    exact = expected_regret(walk, 100)[np.array(horizons) - 1]
    assert (abs(runs.mean(axis=0) - exact) <= 4 * runs.std(axis=0) / math.sqrt(5000)).all()


def test_exponent_of_a_power_is_that_power():
    """The fit recovers c T^a exactly, whatever c."""
    horizons = [3, 10, 50]
    assert growth_exponent(horizons, [7 * t**1.5 for t in horizons]) == pytest.approx(1.5)


def test_exponents_tell_the_regimes_apart():
    """Two without return, three halves at r = 1/2, one with return; the simulation agrees."""
    horizons, error = [64, 128, 256, 512, 1024], 1e-3
    for walk, power in (
        (EditWalk(1e-6, 0.2), 2.0),
        (EditWalk(1e-6, 0.5), 1.5),
        (EditWalk(1e-6, 0.8), 1.0),
        (EditWalk(1e-6, 0.2, Undo.SPAN), 1.0),
    ):
        exact = expected_regret(walk, 1024)[np.array(horizons) - 1]
        assert growth_exponent(horizons, exact) == pytest.approx(power, abs=0.03)
        oftener = EditWalk(error, walk.recall, walk.undo)
        exact = growth_exponent(horizons, expected_regret(oftener, 1024)[np.array(horizons) - 1])
        runs = simulate_regret(oftener, horizons, 4000, np.random.default_rng(9))
        simulated = simulated_exponent(horizons, runs)
        assert abs(simulated.value - exact) <= 4 * (simulated.high - simulated.low) / (2 * 1.96)


def test_exponent_interval_holds_the_exact_value_about_as_often_as_it_says():
    """Of 200 intervals from 400 runs each, 95 % cover give or take four standard errors."""
    horizons, walk, rng = [16, 64], EditWalk(0.01, 0.8), np.random.default_rng(12)
    exact = growth_exponent(horizons, expected_regret(walk, 64)[[15, 63]])
    intervals = [simulated_exponent(horizons, simulate_regret(walk, horizons, 400, rng)) for _ in range(200)]
    covered = sum(i.low <= exact <= i.high for i in intervals)
    assert abs(covered / 200 - 0.95) <= 4 * math.sqrt(0.95 * 0.05 / 200)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: EditWalk(1.1), "error = 1.1"),
        (lambda: EditWalk(0.1, -1), "recall = -1"),
        (lambda: expected_regret(EditWalk(0.1), 0), "horizon of 0"),
        (lambda: simulate_regret(EditWalk(0.1), [5, 5], 10, np.random.default_rng(0)), "ascend"),
        (lambda: simulate_regret(EditWalk(0.1), [], 10, np.random.default_rng(0)), "ascend"),
        (lambda: growth_exponent([5], [1.0]), "two horizons"),
        (lambda: growth_exponent([5, 6], [0.0, 1.0]), "no logarithm"),
    ],
)
def test_impossible_requests_are_refused(call, words):
    """Each error names the value that cannot be."""
    with pytest.raises(SettingsError, match=words):
        call()
