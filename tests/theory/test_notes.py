"""What the notes left open, against simulations and sums by hand."""

import math

import numpy as np
import pytest

from halluc_plugin.errors import SettingsError
from halluc_plugin.theory.convergence import (
    Objective,
    follow,
    learning_time,
    regularised_floor,
    simulate_learning,
    slope,
)
from halluc_plugin.theory.discovery import (
    Decisions,
    simulate_first_token,
    simulate_tries,
    tries_until_sampled,
)
from halluc_plugin.theory.group_gradient import advantage_variance, gradient_weight, simulate_groups
from halluc_plugin.theory.stopping import Stopping, simulate_stopping


def near(runs, exact, sigmas=4):
    """Whether a mean of runs is within so many standard errors of a number."""
    return abs(np.mean(runs) - exact) < sigmas * np.std(runs) / math.sqrt(len(runs)) + 1e-9


@pytest.mark.parametrize("cost", [0.01, 0.1, 0.4])
@pytest.mark.parametrize("distance", [0.5, 2.0, 5.0])
def test_the_threshold_is_the_best(cost, distance):
    """No other threshold is worth more, and at the best a fresh attempt is worth b* + c."""
    step = Stopping(0.3, cost, distance)
    best = step.worth(step.threshold)
    assert best == pytest.approx(step.threshold + cost, abs=1e-9)
    assert all(step.worth(belief) <= best + 1e-9 for belief in np.linspace(0.01, 0.99, 50))


def test_the_threshold_falls_with_cost_and_rises_with_stakes():
    """It depends on their quotient alone, and above the share of right attempts nobody goes back."""
    costs = [0.001, 0.01, 0.1, 0.3, 0.69]
    thresholds = [Stopping(0.3, cost).threshold for cost in costs]
    assert thresholds == sorted(thresholds, reverse=True)
    assert Stopping(0.3, 0.2, stakes=2).threshold == pytest.approx(Stopping(0.3, 0.1).threshold)
    assert Stopping(0.3, 0.7).threshold == 0
    assert Stopping(0.3, 0.7).rates(0.0) == (0, 0)


def test_recall_is_not_near_one_at_the_best():
    """At a price of a tenth the best policy leaves errors; at next to nothing it erases right steps."""
    dear, cheap = Stopping(0.3, 0.1), Stopping(0.3, 0.001)
    assert dear.rates(dear.threshold)[0] < 0.9
    recall, alarm = cheap.rates(cheap.threshold)
    assert 0.7 * alarm / (0.7 * alarm + 0.3 * recall) > 0.5  # most of what it takes back was right


@pytest.mark.parametrize("belief", [0.2, 0.7])
def test_worth_is_that_of_runs(belief):
    """Runs with threshold and price as given have that net reward."""
    step = Stopping(0.4, 0.05, 1.5, stakes=0.8)
    assert near(simulate_stopping(step, belief, 20_000, np.random.default_rng(0)), step.worth(belief))


def test_weights_by_hand():
    """Two answers: contrast with 2 p (1 - p), advantages of 1/sqrt 2: the weight is 1/sqrt 2 for every p."""
    for right in (0.1, 0.5, 0.9):
        assert gradient_weight(right, 2) == pytest.approx(1 / math.sqrt(2))
    assert gradient_weight(0.2, 4000) == pytest.approx(1 / math.sqrt(0.2 * 0.8), rel=1e-3)
    assert gradient_weight(1e-6, 16) == pytest.approx(15 / 4, rel=1e-3)


@pytest.mark.parametrize("group", [2, 5, 16])
@pytest.mark.parametrize("right", [0.1, 0.6])
def test_weights_are_those_of_groups(right, group):
    """Sampled groups have the weight and the variance of advantages; undivided ones the factor 1 - 1/G."""
    rng = np.random.default_rng(1)
    gradients, squares = simulate_groups(right, group, 20_000, rng)
    assert near(gradients, gradient_weight(right, group))
    assert near(squares, advantage_variance(right, group))
    assert advantage_variance(right, group) <= 1 - 1 / group
    plain, _ = simulate_groups(right, group, 20_000, rng, divide=False)
    assert near(plain, 1 - 1 / group)


def test_learning_time_is_that_of_small_steps():
    """The closed form against a path of the logits."""
    time = learning_time(0.5, 0.05)
    found = follow(lambda delta: slope(Objective.REWARD, delta), np.array([time]), step=0.001)
    assert found[0] == pytest.approx(0.05, rel=1e-3)


def test_rates_of_convergence():
    """1/(2t) for the reward, 1/t² for GRPO in large groups, 1/t in groups of 8, a floor with KL."""
    times = np.array([1000.0, 2000.0])
    reward, grpo = (
        follow(lambda d, o=o: slope(o, d), times, step=0.2) for o in (Objective.REWARD, Objective.GRPO)
    )
    assert reward * 2 * times == pytest.approx([1, 1], abs=0.02)
    assert grpo * times**2 == pytest.approx([1, 1], rel=0.02)
    small = follow(lambda d: gradient_weight(1 - d, 8) * d * (1 - d), times, step=0.2)
    assert small[0] / small[1] == pytest.approx(2, rel=0.02)
    kept = follow(lambda d: slope(Objective.REGULARISED, d, beta=0.2), np.array([400.0, 3000.0]), step=0.2)
    assert kept[1] == pytest.approx(regularised_floor(0.2), rel=1e-3)


def test_what_is_learnt_well_is_unlearnt_slowly():
    """The time from 1 - e grows as 1/(2 e), where the notes' bound tends to the time from scratch."""
    times = [learning_time(1 - e, 0.05) for e in (0.1, 0.01, 0.001)]
    assert times[2] * 2 * 0.001 == pytest.approx(1, abs=0.05)
    assert times[1] > (1 + 0.01 / 0.5) * learning_time(0.5, 0.05)
    found = simulate_learning(0.9, 0.05, 50, np.random.default_rng(2))
    assert np.mean(found) == pytest.approx(times[0], rel=0.05)


def test_tries_by_hand_and_by_runs():
    """Three decisions at 1/2: eight answers directly, six in stages; both as sampled."""
    rng = np.random.default_rng(3)
    answer = Decisions(3, 0.5)
    assert (answer.direct, answer.staged) == (8, 6)
    assert answer.usual_bound(1.0) == pytest.approx(8 / 3)  # not a bound, though all is learnt
    rusty = Decisions(3, 0.3, 0.6)
    assert near(simulate_tries(rusty, 5000, rng, staged=False), rusty.direct)
    assert near(simulate_tries(rusty, 5000, rng, staged=True), rusty.staged)
    assert near(simulate_first_token(0.3, 0.1, 5000, rng), tries_until_sampled(0.3, 0.1))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Stopping(0.0, 0.1),
        lambda: Stopping(0.3, -1.0),
        lambda: gradient_weight(1.0, 4),
        lambda: gradient_weight(0.5, 1),
        lambda: learning_time(0.1, 0.5),
        lambda: Decisions(0, 0.5),
        lambda: tries_until_sampled(0.0, 0.5),
    ],
)
def test_refuses(wrong):
    """Numbers that have no meaning are refused."""
    with pytest.raises(SettingsError):
        wrong()
