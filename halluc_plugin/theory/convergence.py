"""Compute how fast a softmax policy learns one decision, and how long it takes to unlearn one.

One state, two actions (say, going back behind an error, and not), values that differ by D. The policy is
a softmax of two logits, delta the probability of the worse action, and training follows the exact
gradient with rate eta. The difference of the logits moves by 2 eta times the slope of the objective in
it:

    objective                          d delta / dt                              for large t
    expected reward                    -2 eta D delta^2 (1 - delta)^2            delta ~ 1/(2 eta D t)
    reward less beta KL to uniform     the same, D - beta logit(1 - delta)       exp. to delta_beta > 0
    GRPO, large groups (0/1 rewards)   -2 eta D [delta (1 - delta)]^1.5          delta ~ 1/(eta D t)^2

with delta_beta = 1/(1 + exp(D/beta)); GRPO's weight is that of :mod:`.group_gradient`, here with D = 1.
In groups of finite size that weight stays below (G - 1)/sqrt(G), so GRPO's rate, too, becomes 1/t, once
most groups have no contrast.

Section 5.1 of the notes: with entropy regularisation V* - V = O(exp(-eta t)), and KL-regularised GRPO
inherits it. Mended: what falls exponentially is the distance to the regularised optimum, which is itself
short of V* by D delta_beta, however long one trains; lowering beta lowers that floor and the rate with
it. Without a regulariser the rate is polynomial, 1/t or (GRPO while groups have contrast) 1/t^2. That is
for exact gradients; sampled ones add noise that a constant rate does not average out.

Time from delta_0 to delta_1 under the expected reward, in closed form, with

    H(delta) = -1/delta + 1/(1 - delta) + 2 log(delta/(1 - delta)):    t = [H(delta_0) - H(delta_1)]/(2 eta D)

Theorem 4 of the notes: from a stage that reached error eps_i the next takes N_scratch (1 + eps_i/eps_0)
samples at most. Refuted. (1) As a bound it is above N_scratch, so it promises no gain from a curriculum
at all. (2) It is not a bound: a stage in which the decision is the other way (a budget so small that
going back does not pay, say) ends at delta_0 = 1 - eps_i on the next one, and t grows as 1/(2 eta D
eps_i): the better the stage was learnt, the longer it takes to unlearn. The bound says that it tends to
N_scratch.
"""

import math
from collections.abc import Callable
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from halluc_plugin.errors import SettingsError
from halluc_plugin.theory.estimates import check_samples


class Objective(StrEnum):
    """What the exact gradient is of."""

    REWARD = "reward"
    """The expected reward."""
    REGULARISED = "regularised"
    """The same less beta times the KL divergence from a uniform policy."""
    GRPO = "grpo"
    """GRPO in large groups, rewards 0 and 1 by the action."""


def learning_time(start: float, end: float, *, gap: float = 1.0, rate: float = 1.0) -> float:
    """Return the time in which delta falls from ``start`` to ``end`` under the expected reward.

    Args:
        start: Probability of the worse action at first, above ``end``.
        end: Probability at last, above 0.
        gap: Difference of the actions' values, D.
        rate: Learning rate, eta.

    Raises:
        SettingsError: Not 0 < end <= start < 1.
    """
    if not 0 < end <= start < 1:
        raise SettingsError(f"delta from {start} to {end}.", "Pass 0 < end <= start < 1.")

    def passed(delta: float) -> float:
        return -1 / delta + 1 / (1 - delta) + 2 * math.log(delta / (1 - delta))

    return (passed(start) - passed(end)) / (2 * rate * gap)


def regularised_floor(beta: float, gap: float = 1.0) -> float:
    """Return delta_beta, at which learning with a KL weight of ``beta`` ends."""
    return 1 / (1 + math.exp(gap / beta))


def slope(objective: Objective, delta: float, *, gap: float = 1.0, beta: float = 0.2) -> float:
    """Return the derivative of an objective in the difference of the logits at ``delta``."""
    spread = delta * (1 - delta)
    if objective is Objective.REWARD:
        return gap * spread
    if objective is Objective.REGULARISED:
        return (gap - beta * math.log((1 - delta) / delta)) * spread
    return math.sqrt(spread)


def follow(
    slope_at: Callable[[float], float],
    times: npt.NDArray[np.float64],
    *,
    start: float = 0.5,
    step: float = 0.05,
) -> npt.NDArray[np.float64]:
    """Return delta at some times by small steps on the logits; no closed form is used.

    Args:
        slope_at: The slope of the objective in the difference of the logits, by delta.
        times: Times in ascending order, Double[N]; a unit is one step of rate 1.
        start: Probability of the worse action at time 0.
        step: Length of a step.

    Returns:
        Double[N].
    """
    found, now, logit = [], 0.0, math.log((1 - start) / start)
    for time in times:
        while now < time - step / 2:
            logit += 2 * step * slope_at(1 / (1 + math.exp(logit)))
            now += step
        found.append(1 / (1 + math.exp(logit)))
    return np.array(found)


def simulate_learning(
    start: float, end: float, samples: int, rng: np.random.Generator, *, rate: float = 0.02, batch: int = 64
) -> npt.NDArray[np.float64]:
    """Train by REINFORCE on sampled actions until delta reaches ``end``; no formula of this module is used.

    Args:
        start: Probability of the worse action at first.
        end: Probability at last.
        samples: Number of runs.
        rng: Source of randomness.
        rate: Learning rate of a step.
        batch: Number of actions sampled for a step; the baseline is the exact expected reward.

    Returns:
        The time of each run, steps times rate, Double[samples].

    Raises:
        SettingsError: ``samples`` is below 2.
    """
    check_samples(samples)
    logits = np.full(samples, math.log((1 - start) / start))
    times, running = np.zeros(samples), np.arange(samples)
    while running.size:
        delta = 1 / (1 + np.exp(logits[running]))
        good = rng.binomial(batch, 1 - delta) / batch
        # Reward 1 for the better action, baseline 1 - delta; score of the difference: delta, or delta - 1.
        gradient = good * delta * delta + (1 - good) * (1 - delta) * (1 - delta)
        logits[running] += 2 * rate * gradient
        times[running] += rate
        running = running[1 / (1 + np.exp(logits[running])) > end]
    return times
