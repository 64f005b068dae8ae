"""Intervals, against values published by the authors of the methods."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics import (
    Proportion,
    mcnemar,
    paired_difference,
    unpaired_difference,
    unpaired_ratio,
    wilson,
)


def paired_table(both, only_first, only_second, neither):
    """Two lists of outcomes with the given counts."""
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return first, second


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_newcombes_published_limits(successes, n, low, high):
    """The four examples of Newcombe (1998), table I, method 3, to the four digits printed there."""
    assert wilson(successes / n, n) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_wilson_at_the_edges():
    """No observation says nothing; at 0 % and 100 % one limit is the value and the other is n / (n + z²)."""
    z2 = 1.959963984540054**2
    assert wilson(math.nan, 0) == (0.0, 1.0)
    assert wilson(0.0, 10) == (0.0, pytest.approx(z2 / (10 + z2)))
    assert wilson(1.0, 10) == (pytest.approx(10 / (10 + z2)), 1.0)


@given(st.integers(0, 50), st.integers(1, 50))
def test_wilson_limits_solve_the_score_equation(successes, n):
    """At each limit p inside (0, 1), |value - p| is z standard errors of p."""
    value = min(successes, n) / n
    for p in wilson(value, n):
        if 0 < p < 1:
            assert abs(value - p) == pytest.approx(1.959963984540054 * math.sqrt(p * (1 - p) / n))


def test_unpaired_difference_gives_newcombes_published_limits():
    """56/70 against 48/80: 0.2 (0.0524 to 0.3339), Newcombe (1998), method 10."""
    difference = unpaired_difference(Proportion.of(56, 70), Proportion.of(48, 80))
    assert difference.value == pytest.approx(0.2)
    assert (difference.low, difference.high) == (
        pytest.approx(0.0524, abs=5e-5),
        pytest.approx(0.3339, abs=5e-5),
    )
    assert difference.n == 150


@pytest.mark.parametrize(("first", "second"), [(500, 250), (610, 150), (30, 900)])
def test_unpaired_ratio_is_katzs_where_n_is_large(first, second):
    """With 1000 and 2000 observations the limits are near those of the logarithm of the ratio."""
    ratio = unpaired_ratio(Proportion.of(first, 1000), Proportion.of(second, 2000))
    value = 2 * first / second
    error = 1.959963984540054 * math.sqrt(1 / first - 1 / 1000 + 1 / second - 1 / 2000)
    assert (ratio.value, ratio.n) == (pytest.approx(value), 3000)
    assert ratio.low == pytest.approx(value * math.exp(-error), rel=0.02)
    assert ratio.high == pytest.approx(value * math.exp(error), rel=0.02)


@given(st.integers(0, 30), st.integers(0, 30))
def test_limits_of_a_ratio_are_those_of_its_inverse(first, second):
    """Exchanged sides give exchanged limits, and the value lies between them."""
    ratio, inverse = (
        unpaired_ratio(Proportion.of(a, 30), Proportion.of(b, 30))
        for a, b in ((first, second), (second, first))
    )
    assert 0 <= ratio.low < ratio.high
    if first and second:
        assert ratio.low <= ratio.value <= ratio.high
        assert ratio.low * inverse.high == pytest.approx(1)


def test_a_ratio_to_nothing_has_no_upper_limit():
    """None of ten may be none of all; and of no observations nothing is known."""
    ratio = unpaired_ratio(Proportion.of(5, 10), Proportion.of(0, 10))
    assert (ratio.value, ratio.high) == (math.inf, math.inf)
    assert ratio.low > 1
    nothing = unpaired_ratio(Proportion.of(5, 10), Proportion.of(0, 0))
    assert math.isnan(nothing.value)
    assert (nothing.low, nothing.high) == (0, math.inf)


def test_paired_difference_gives_newcombes_published_limits():
    """The table 36, 12, 2, 0: 0.2 (0.0569 to 0.3404), Newcombe's paired method 10."""
    difference = paired_difference(*paired_table(36, 12, 2, 0))
    assert difference.value == pytest.approx(0.2)
    assert (difference.low, difference.high) == (
        pytest.approx(0.0569, abs=5e-5),
        pytest.approx(0.3404, abs=5e-5),
    )
    assert difference.n == 50


def test_a_positive_correlation_is_corrected_for_continuity():
    """The table 14, 5, 0, 22 (Altman et al. 2000, table 6.2), by Newcombe's formula of counts."""
    p1, p2 = 19 / 41, 14 / 41
    (l1, u1), (l2, u2) = wilson(p1, 41), wilson(p2, 41)
    phi = (14 * 22 - 5 * 0 - 41 / 2) / math.sqrt(19 * 22 * 14 * 27)
    below = math.sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    above = math.sqrt((u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2)
    difference = paired_difference(*paired_table(14, 5, 0, 22))
    assert difference.value == pytest.approx(5 / 41)
    assert (difference.low, difference.high) == pytest.approx((5 / 41 - below, 5 / 41 + above))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_a_paired_interval_holds_its_value_and_mirrors(pairs):
    """The order is low <= value <= high, inside [-1, 1]; swapping the sides negates all three."""
    first, second = map(list, zip(*pairs, strict=True))
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert -1 <= there.low <= there.value + 1e-12
    assert there.value - 1e-12 <= there.high <= 1
    assert (back.low, back.value, back.high) == pytest.approx((-there.high, -there.value, -there.low))


def test_mcnemar_by_hand():
    """12 against 2 disagreements: 2 (1 + 14 + 91) / 2^14; without disagreement the p-value is 1."""
    test = mcnemar(*paired_table(36, 12, 2, 0))
    assert (test.only_first, test.only_second, test.n) == (12, 2, 50)
    assert test.p_value == pytest.approx(212 / 16384)
    assert mcnemar([True, False], [True, False]).p_value == 1.0
    assert mcnemar(*paired_table(0, 600, 600, 0)).p_value == 1.0


def test_clusters_of_one_are_independent_observations():
    """With one observation for each cluster the clustered interval is Wilson's."""
    assert Proportion.clustered([1, 0, 1, 1], [1, 1, 1, 1]) == Proportion.of(3, 4)


def test_clusters_that_agree_within_count_once_each():
    """Four clusters of 100 equal outcomes carry the information of 4 observations, less than 5 % of 400."""
    pooled = Proportion.clustered([100, 0, 100, 0], [100] * 4)
    # Between-cluster variance 4/3 · 4 · 50² / 400² = 1/12; binomial 1/4 / 399: n_eff = 399 / 400 · 400 / 133.
    assert (pooled.value, pooled.n) == (0.5, 400)
    assert (pooled.low, pooled.high) == pytest.approx(wilson(0.5, 400 * (0.25 / 399) / (1 / 12)))


def test_a_share_without_variation_counts_its_clusters():
    """400 successes in 4 traces are no better evidence than 4 of 4; one trace is one observation."""
    assert (Proportion.clustered([100] * 4, [100] * 4).low, 1.0) == wilson(1.0, 4)
    single = Proportion.clustered([30], [100])
    assert (single.low, single.high) == wilson(0.3, 1)


def test_empty_clusters_are_left_out():
    """A trace without events changes nothing; no events at all give nan and the interval (0, 1)."""
    assert Proportion.clustered([1, 0, 0], [2, 0, 2]) == Proportion.clustered([1, 0], [2, 2])
    empty = Proportion.clustered([0], [0])
    assert math.isnan(empty.value)
    assert (empty.n, empty.low, empty.high) == (0, 0.0, 1.0)


def test_the_clustered_interval_covers():
    """With correlated observations it covers the truth in about 95 % of simulations; Wilson's does not."""
    rng = np.random.default_rng(0)
    covered = naive = 0
    for _ in range(1000):
        rates = rng.beta(0.6, 1.4, size=40)
        successes = rng.binomial(20, rates).tolist()
        clustered, plain = Proportion.clustered(successes, [20] * 40), Proportion.of(sum(successes), 800)
        covered += clustered.low <= 0.3 <= clustered.high
        naive += plain.low <= 0.3 <= plain.high
    assert 925 <= covered <= 975
    assert naive < 700


def test_complement_mirrors_the_interval():
    """1 - 3/10 has the value and the limits of 7/10."""
    mirrored, direct = Proportion.of(3, 10).complement(), Proportion.of(7, 10)
    assert (mirrored.value, mirrored.low, mirrored.high) == pytest.approx(
        (direct.value, direct.low, direct.high)
    )
    assert mirrored.n == 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wilson(1.2, 5), "proportion of 1.2"),
        (lambda: wilson(0.5, -1), "proportion of -1 observations"),
        (lambda: Proportion.clustered([1], [1, 2]), "1 counts of successes, 2 of trials"),
        (lambda: Proportion.clustered([3], [2]), "more successes than trials"),
        (lambda: Proportion.of_scores([0.5, 1.5]), "score of 1.5"),
        (lambda: paired_difference([1.0], []), "1 scores against 0"),
        (lambda: paired_difference(["wrong"], [True]), "score of 'wrong'"),
        (lambda: mcnemar([0.5], [1.0]), "fractional score"),
    ],
)
def test_impossible_inputs_are_refused(call, message):
    """Shares and scores outside [0, 1], unequal lengths, and names of outcomes in place of booleans."""
    with pytest.raises(MetricError, match=message):
        call()
