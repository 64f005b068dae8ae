"""Means of what has no bounds, and their intervals, by hand."""

import math

import pytest

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics.means import Mean


def test_a_ratio_of_sums_by_hand():
    """Sums 1 and 5 over 2 and 2 tokens: 1.5; deviations -2 and 2, so 1.96 * sqrt(2 * 8) / 4 to each side."""
    found = Mean.clustered([1.0, 5.0], [2, 2])
    assert (found.value, found.n) == (1.5, 4)
    assert (found.low, found.high) == pytest.approx((1.5 - 1.959964, 1.5 + 1.959964), abs=1e-5)


def test_equal_clusters_have_no_width():
    """Empty ones do not count."""
    found = Mean.clustered([2.0, 0.0, 4.0], [1, 0, 2])
    assert (found.value, found.n, found.low, found.high) == (2.0, 3, 2.0, 2.0)


def test_one_cluster_shows_no_interval():
    """And none no mean."""
    assert Mean.clustered([3.0], [2]) == Mean(1.5, 2, -math.inf, math.inf)
    assert math.isnan(Mean.clustered([], []).value)


def test_sums_and_counts_go_together():
    """One of each for every cluster."""
    with pytest.raises(MetricError, match="2 sums, 1 counts"):
        Mean.clustered([1.0, 2.0], [1])
