"""Compute how regret grows with the horizon: quadratic, linear, or in between, by recall and edit.

The walk: On the MDP of :mod:`halluc_plugin.edits` a state is the live text. Call it spoiled if it holds an
error; then every longer text is spoiled too, and only edits lead back. Let d be the number of live tokens
from the first error on, 0 for a clean text. In one action, d changes as follows:

    clean, d = 0      writes an error with probability e, to d = 1; else stays clean
    spoiled, d > 0    edits with probability r (the recall); else writes on, to d + 1
                      the edit leads to d - 1 (a backtrack, :attr:`Undo.LAST`)
                      or to 0 (an edit over the whole spoiled span, :attr:`Undo.SPAN`)

Regret R(T) is the expected number of the first T actions that leave the text spoiled: Ross and Bagnell's
(AISTATS 2010) worst case, cost 1 wherever the expert never goes. A false alarm f in a clean text keeps it
clean and only scales the error rate, to e (1 - f).

Span edits are a chain of two states, solved with l = 1 - e - r:

    P(spoiled after t actions) = e/(e + r) (1 - l^t)
    R(T) = e/(e + r) [T - l (1 - l^T)/(1 - l)]

    r = 0:       R = T - (1 - e)(1 - (1 - e)^T)/e, which is e T (T + 1)/2 while e T << 1, and T at most
    r > 0:       R -> T e/(e + r) once T >> 1/(e + r): linear

Single-token edits make d a random walk, +1 with probability 1 - r and -1 with r, and its drift decides:

    r > 1/2      an error lasts 1/(2r - 1) actions on average; R -> T e/(e + 2r - 1): linear
    r = 1/2      it always ends, after infinitely long on average; R ~ (4/3) sqrt(2/pi) e T^1.5 while e T << 1
    r < 1/2      it lasts for ever with probability (1 - 2r)/(1 - r); quadratic,
                 e T^2/2 times that probability at first

So a policy that looks only at the live text (hard context) and deletes single tokens needs a recall above
one half *in spoiled states* for backtracking to change the order of growth; one that finishes an event once
begun, or has a step backtrack, needs only r > 0.

The usual statement is wrong in four ways. Section 3.1 of the notes claims R <= O(T e / (1 + p_b recall)).

(1) At p_b = 0, no backtracking, it says O(T e) and contradicts the O(T^2 e) it started from: R lies above
    it by a factor (T + 1)/2. The recovery rate r must *divide*, e/(e + r), not be added to 1.
(2) Its corollary, "linear if p_b recall = Omega(1/T)", fails for the same reason: at r = c/T the time to
    recover is as long as the horizon, and R -> e T^2 [1/c - (1 - exp(-c))/c^2], still quadratic. Linear
    needs r bounded below.
(3) It supposes that an error is undone by one decision. With single-token edits the text must also be
    walked back while every action may write on; hence the threshold r = 1/2.
(4) O(T^2 e) is the worst case, for policies that never return and only while e T << 1; R never exceeds T.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from halluc_plugin.errors import SettingsError
from halluc_plugin.metrics.intervals import Z95
from halluc_plugin.theory.estimates import Mean, check_samples, check_share


class Undo(StrEnum):
    """The tokens that one edit in a spoiled text deletes."""

    LAST = "last"
    """The last live token."""
    SPAN = "span"
    """Everything from the first error on."""


@dataclass(frozen=True)
class EditWalk:
    """The distance of the live text from its last clean state, action by action.

    Args:
        error: Probability that an action in a clean text spoils it, e.
        recall: Probability that an action in a spoiled text is an edit, r.
        undo: The tokens that this edit deletes.

    Raises:
        SettingsError: A probability is outside [0, 1].
    """

    error: float
    recall: float = 0.0
    undo: Undo = Undo.LAST

    def __post_init__(self) -> None:
        check_share("error", self.error)
        check_share("recall", self.recall)


def expected_regret(walk: EditWalk, horizon: int) -> npt.NDArray[np.float64]:
    """Return the exact regret R(1), ..., R(horizon), without sampling.

    Args:
        walk: The walk.
        horizon: Number of actions. For single-token edits the computing time grows with its square.

    Returns:
        The regret at each horizon, Float[horizon].

    Raises:
        SettingsError: ``horizon`` is below 1.
    """
    if horizon < 1:
        raise SettingsError(f"A horizon of {horizon} actions.", "Pass horizon >= 1.")
    spoiled = _spoiled_by_span if walk.undo is Undo.SPAN else _spoiled_by_last
    return np.cumsum(spoiled(walk, horizon))


def _spoiled_by_span(walk: EditWalk, horizon: int) -> npt.NDArray[np.float64]:
    leave = walk.error + walk.recall
    if leave == 0:
        return np.zeros(horizon)
    return walk.error / leave * (1 - (1 - leave) ** np.arange(1, horizon + 1, dtype=np.float64))


def _spoiled_by_last(walk: EditWalk, horizon: int) -> npt.NDArray[np.float64]:
    """P(spoiled) after each action, from the distribution of d, of which d <= t is reachable in t actions."""
    e, r = walk.error, walk.recall
    at = np.zeros(horizon + 2)
    at[0] = 1.0
    spoiled = np.empty(horizon)
    for t in range(horizon):
        new = np.zeros_like(at)
        new[0] = at[0] * (1 - e) + at[1] * r
        new[1] = at[0] * e + at[2] * r
        new[2 : t + 2] = at[1 : t + 1] * (1 - r) + at[3 : t + 3] * r
        at = new
        spoiled[t] = at[1 : t + 2].sum()
    return spoiled


def regret_rate(walk: EditWalk) -> float:
    """Return the limit of R(T)/T, the share of a long run that is spent in spoiled text."""
    recovery = walk.recall if walk.undo is Undo.SPAN else max(0.0, 2 * walk.recall - 1)
    return walk.error / (walk.error + recovery) if walk.error else 0.0


def usual_regret_bound(walk: EditWalk, horizon: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the expression of section 3.1 of the notes with constant 1, T e / (1 + r).

    It is not a bound; the module docstring explains why.
    """
    return np.asarray(horizon, dtype=np.float64) * walk.error / (1 + walk.recall)


def simulate_regret(
    walk: EditWalk, horizons: Sequence[int], samples: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Count the spoiled actions of independent runs.

    Args:
        walk: The walk.
        horizons: Numbers of actions at which the count is read, ascending.
        samples: Number of runs.
        rng: Source of randomness.

    Returns:
        The number of spoiled actions, Long[samples, len(horizons)]; the columns of a row belong to one run.

    Raises:
        SettingsError: ``samples`` is below 2, or ``horizons`` does not ascend from at least 1.
    """
    check_samples(samples)
    _check_horizons(horizons)
    distance = np.zeros(samples, dtype=np.int64)
    count = np.zeros(samples, dtype=np.int64)
    counts = {}
    for t in range(1, horizons[-1] + 1):
        chance = rng.random(samples)
        clean = distance == 0
        edits = ~clean & (chance < walk.recall)
        writes_on = ~clean & ~edits
        distance[edits] = distance[edits] - 1 if walk.undo is Undo.LAST else 0
        distance += writes_on | (clean & (chance < walk.error))
        count += distance > 0
        if t in horizons:
            counts[t] = count.copy()
    return np.stack([counts[t] for t in horizons], axis=1)


def growth_exponent(horizons: Sequence[int], regret: npt.ArrayLike) -> float:
    """Return the exponent a of the best fit R(T) = c T^a, by least squares of log R on log T.

    Args:
        horizons: Two or more horizons, ascending.
        regret: Regret at each horizon, positive.

    Raises:
        SettingsError: There is only one horizon, or a regret is 0, so that nothing can be fitted.
    """
    return float(_slope_weights(horizons) @ np.log(_positive(regret)))


def simulated_exponent(horizons: Sequence[int], runs: npt.NDArray[np.int64]) -> Mean:
    """Return the exponent of the fit to simulated runs, with an interval.

    Regret at different horizons comes from the same runs, so the interval is the delta method's over runs:
    a run with counts x_i moves the exponent by sum_i w_i x_i / R_i, w being the weights of the
    least-squares slope.

    Args:
        horizons: Two or more horizons, ascending.
        runs: The runs of :func:`simulate_regret`, Long[samples, len(horizons)].

    Raises:
        SettingsError: No run was ever spoiled by the first horizon.
    """
    mean = _positive(runs.mean(axis=0))
    weights = _slope_weights(horizons)
    influence = (runs / mean) @ weights
    value = float(weights @ np.log(mean))
    half = Z95 * float(np.std(influence, ddof=1)) / math.sqrt(len(runs))
    return Mean(value, len(runs), value - half, value + half)


def _slope_weights(horizons: Sequence[int]) -> npt.NDArray[np.float64]:
    _check_horizons(horizons)
    if len(horizons) < 2:
        raise SettingsError("A growth exponent from one horizon.", "Pass two horizons or more.")
    centred = np.log(horizons) - np.mean(np.log(horizons))
    return centred / np.sum(centred**2)


def _positive(regret: npt.ArrayLike) -> npt.NDArray[np.float64]:
    values = np.asarray(regret, dtype=np.float64)
    if not (values > 0).all():
        raise SettingsError(
            f"A regret of {values.min()} has no logarithm.", "Simulate more runs, or longer horizons."
        )
    return values


def _check_horizons(horizons: Sequence[int]) -> None:
    if not horizons or horizons[0] < 1 or any(b <= a for a, b in pairwise(horizons)):
        raise SettingsError(f"Horizons {list(horizons)}.", "Pass whole numbers that ascend from at least 1.")
