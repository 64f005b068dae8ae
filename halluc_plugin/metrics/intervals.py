"""Compute 95 % intervals: of one proportion, of two independent ones, of two on the same problems.

All rest on Wilson's score interval, which stays inside [0, 1] and keeps its width at 0 % and 100 %, where
a bootstrap or the normal approximation shrinks to a point.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from halluc_plugin.errors import MetricError

Z95 = NormalDist().inv_cdf(0.975)
"""Standard score of a two-sided 95 % interval, 1.95996..."""


def wilson(value: float, n: float) -> tuple[float, float]:
    """Return Wilson's score interval at 95 % for a share ``value`` of ``n`` observations.

    The interval has no continuity correction: E. B. Wilson, JASA 22 (1927) 209; method 3 of R. G. Newcombe,
    Statistics in Medicine 17 (1998) 857.

    Args:
        value: Observed share, in [0, 1].
        n: Number of independent observations; an effective sample size need not be an integer.

    Returns:
        Lower and upper limit; (0, 1) if ``n`` is 0, because nothing was observed.

    Raises:
        MetricError: ``value`` is outside [0, 1] or ``n`` is negative.
    """
    if n < 0:
        raise MetricError(f"A proportion of {n} observations.", "Pass n >= 0.")
    if n == 0:
        return 0.0, 1.0
    if not 0 <= value <= 1:
        raise MetricError(f"A proportion of {value}.", "Pass a share between 0 and 1.")
    centre = value + Z95**2 / (2 * n)
    half = Z95 * math.sqrt(value * (1 - value) / n + (Z95 / (2 * n)) ** 2)
    scale = 1 + Z95**2 / n
    # At 0 and 1 one limit equals the value; rounding would leave it a hair inside.
    low = 0.0 if value == 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if value == 1 else min(1.0, (centre + half) / scale)
    return low, high


@dataclass(frozen=True)
class Proportion:
    """A share with its 95 % interval.

    Attributes:
        value: The share; nan when ``n`` is 0.
        n: Number of observations (events, episodes, tokens or problems).
        low: Lower limit.
        high: Upper limit.
    """

    value: float
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, successes: int, n: int) -> "Proportion":
        """Return the proportion of ``successes`` out of ``n`` independent observations."""
        value = successes / n if n else math.nan
        return cls(value, n, *wilson(value, n))

    @classmethod
    def of_scores(cls, scores: Sequence[float]) -> "Proportion":
        """Return the mean over problems of scores in [0, 1], such as pass@k.

        A score in [0, 1] varies at most as much as a coin of the same mean, so the interval is Wilson's for
        0/1 scores and conservative for fractional ones.

        Args:
            scores: One score for each problem.

        Raises:
            MetricError: A score is outside [0, 1].
        """
        n = len(scores)
        value = math.fsum(score_array(scores)) / n if n else math.nan
        return cls(value, n, *wilson(value, n))

    @classmethod
    def clustered(cls, successes: Sequence[float], trials: Sequence[int]) -> "Proportion":
        """Return the pooled share of observations in clusters, such as the tokens of one trace.

        What happens in one trace is correlated, so counting its tokens as independent would give intervals
        that are far too narrow. Wilson's interval is taken at the effective sample size n / design effect,
        the design effect being the between-cluster variance of the ratio estimator over the binomial one
        (N. Dean and M. Pagano, J. Survey Statistics and Methodology 3 (2015) 484), at least 1. Where the
        data cannot show it (one cluster, or a share of 0 or 1), each cluster counts as one observation.

        Args:
            successes: For each cluster, the number of observations that count; or, if an observation is a
                number in [0, 1], their sum, which varies less than a count and makes the interval too wide.
            trials: For each cluster, the number of all observations. Clusters without any are left out.

        Raises:
            MetricError: Lengths differ, or a cluster has more successes than trials.
        """
        if len(successes) != len(trials):
            raise MetricError(
                f"{len(successes)} counts of successes, {len(trials)} of trials.",
                "Pass one of each for every cluster.",
            )
        if any(not 0 <= s <= t for s, t in zip(successes, trials, strict=True)):
            raise MetricError(
                "A cluster has more successes than trials.", "Check the order of the arguments."
            )
        n = sum(trials)
        value = sum(successes) / n if n else math.nan
        return cls(value, n, *wilson(value, _effective_size(successes, trials, value)))

    def complement(self) -> "Proportion":
        """Return the share of the other observations, 1 - value."""
        return Proportion(1 - self.value, self.n, 1 - self.high, 1 - self.low)


def _effective_size(successes: Sequence[float], trials: Sequence[int], value: float) -> float:
    clusters = [(s, t) for s, t in zip(successes, trials, strict=True) if t]
    count, n = len(clusters), sum(trials)
    if count <= 1 or value in {0.0, 1.0}:
        return count
    between = count / (count - 1) * sum((s - value * t) ** 2 for s, t in clusters) / n**2
    # n - 1, so that clusters of one observation each have a design effect of exactly 1.
    binomial = value * (1 - value) / (n - 1)
    return n / max(1.0, between / binomial)


@dataclass(frozen=True)
class Difference:
    """A difference of two shares with its 95 % interval.

    Attributes:
        value: First minus second, nan if ``n`` is 0.
        n: Number of observations: problems if paired, the sum of both sides if not.
        low: Lower limit.
        high: Upper limit.
    """

    value: float
    n: int
    low: float
    high: float


def unpaired_difference(first: Proportion, second: Proportion) -> Difference:
    """Return ``first - second`` of independent groups, with an interval.

    The interval is Newcombe's hybrid score interval, method 10 of R. G. Newcombe, Statistics in Medicine 17
    (1998) 873. For the same problems use :func:`paired_difference`, which is narrower.
    """
    low, high = _combine(first, second, correlation=0.0)
    return Difference(first.value - second.value, first.n + second.n, low, high)


@dataclass(frozen=True)
class Ratio:
    """A ratio of two shares with its 95 % interval.

    Attributes:
        value: First over second; infinite if the second is 0, nan if both are or there are no observations.
        n: Number of observations of both sides.
        low: Lower limit.
        high: Upper limit, infinite if the second share may be 0.
    """

    value: float
    n: int
    low: float
    high: float


def unpaired_ratio(first: Proportion, second: Proportion) -> Ratio:
    """Return ``first / second`` of independent groups, with an interval.

    The interval is MOVER-R on the limits of the two shares, R. G. Newcombe, Statistical Methods in Medical
    Research 25 (2016) 1774. Shares of the same problems are mostly correlated, which makes it too wide.
    """
    n = first.n + second.n
    if first.n == 0 or second.n == 0:
        return Ratio(math.nan, n, 0.0, math.inf)
    value = first.value / second.value if second.value else math.inf if first.value else math.nan
    low = _ratio_limit(first.value, first.low, second.value, second.high, side=-1)
    return Ratio(value, n, low, _ratio_limit(first.value, first.high, second.value, second.low, side=1))


def _ratio_limit(first: float, limit: float, second: float, other: float, *, side: int) -> float:
    """The lower (side -1) or upper limit of a ratio, from one limit of each share."""
    product, divisor = first * second, other * (2 * second - other)
    spread = limit * (2 * first - limit)
    if divisor == 0:  # the second share may be 0, or is half of its upper limit
        return math.inf if side > 0 else spread / (2 * product) if product else 0.0
    return max(0.0, (product + side * math.sqrt(max(0.0, product * product - spread * divisor))) / divisor)


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Return the mean of ``first - second`` for scores of the same problems in the same order.

    The interval is Newcombe's hybrid score interval for pairs, with his continuity correction of the
    correlation, method 10 of R. G. Newcombe, Statistics in Medicine 17 (1998) 2635. For fractional scores
    (pass@k, maj@k) the same formula is used with Pearson's correlation, the general form of G. Y. Zou and A.
    Donner, Statistics in Medicine 27 (2008) 1693; its Wilson limits are then conservative.

    Args:
        first: One score in [0, 1] for each problem; booleans are scores.
        second: The second system's score for each of the same problems.

    Raises:
        MetricError: Lengths differ, or a score is outside [0, 1].
    """
    a, b = _paired(first, second)
    n = len(a)
    if n == 0:
        return Difference(math.nan, 0, -1.0, 1.0)
    covariance = float(np.mean(a * b) - np.mean(a) * np.mean(b))
    if covariance > 0:
        covariance = max(0.0, covariance - 1 / (2 * n))
    spread = float(np.std(a) * np.std(b))
    correlation = covariance / spread if spread > 0 else 0.0
    left, right = Proportion.of_scores(a.tolist()), Proportion.of_scores(b.tolist())
    return Difference(left.value - right.value, n, *_combine(left, right, correlation))


def _combine(first: Proportion, second: Proportion, correlation: float) -> tuple[float, float]:
    if first.n == 0 or second.n == 0:
        return -1.0, 1.0
    difference = first.value - second.value
    below = _joint(first.value - first.low, second.high - second.value, correlation)
    above = _joint(first.high - first.value, second.value - second.low, correlation)
    return max(-1.0, difference - below), min(1.0, difference + above)


def _joint(x: float, y: float, correlation: float) -> float:
    return math.sqrt(max(0.0, x * x - 2 * correlation * x * y + y * y))


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test on problems that two systems both tried.

    Attributes:
        only_first: Number of problems that only the first solved.
        only_second: Number of problems that only the second solved.
        n: Number of all problems.
        p_value: Two-sided probability, under equal accuracy, of a split of the disagreements at least this
            uneven.
    """

    only_first: int
    only_second: int
    n: int
    p_value: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """Compare two systems on the problems where they disagree.

    This is the exact binomial form of Q. McNemar, Psychometrika 12 (1947) 153.

    Args:
        first: Whether the first system solved each problem.
        second: Whether the second system solved each problem, in the same order.

    Raises:
        MetricError: Lengths differ, or a value is not 0 or 1.
    """
    a, b = _paired(first, second)
    if not np.isin(np.concatenate([a, b]), (0, 1)).all():
        raise MetricError("McNemar's test got a fractional score.", "Use paired_difference for such scores.")
    only_first, only_second = int(np.sum(a > b)), int(np.sum(b > a))
    disagreements = only_first + only_second
    tail = sum(math.comb(disagreements, i) for i in range(min(only_first, only_second) + 1))
    # Whole numbers until the division: thousands of disagreements overflow a float.
    p_value = min(1.0, 2 * tail / 2**disagreements)
    return McNemar(only_first, only_second, len(a), p_value)


def score_array(scores: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the scores as Float[n] in [0, 1].

    Raises:
        MetricError: A score is outside [0, 1], or is a string, since the name of an outcome would count as
            true.
    """
    for score in scores:
        if isinstance(score, str) or not 0 <= score <= 1:
            raise MetricError(f"A score of {score!r}.", "Pass booleans or numbers in [0, 1].")
    return np.asarray(scores, dtype=np.float64)


def _paired(
    first: Sequence[float], second: Sequence[float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if len(first) != len(second):
        raise MetricError(
            f"{len(first)} scores against {len(second)}.", "Score the same problems, in the same order."
        )
    return score_array(first), score_array(second)
