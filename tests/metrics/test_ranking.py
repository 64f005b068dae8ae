"""AUROC and average precision by hand and by pairs, with intervals over clusters."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics.ranking import ranking


def test_by_hand():
    """Ranks 1 and 3 of four are positive: three of four pairs, and a mean of 1 and 2/3."""
    found = ranking([[(True, 0.9), (False, 0.5)], [(True, 0.3), (False, -2.0)]])
    assert found.auc.value == pytest.approx(0.75)
    assert found.average_precision.value == pytest.approx((1 + 2 / 3) / 2)
    assert (found.positives, found.n) == (2, 4)


def test_equal_numbers_say_nothing():
    """Half of the pairs, and a precision that is the share of positive places."""
    found = ranking([[(True, 1.0), (False, 1.0), (False, 1.0), (False, 1.0)]])
    assert (found.auc.value, found.average_precision.value) == (0.5, 0.25)


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=30))
def test_against_pairs_and_thresholds(places):
    """Whatever the places: as defined pair by pair, and threshold by threshold."""
    found = ranking([[(dead, float(value)) for dead, value in places]])
    dead = [value for is_dead, value in places if is_dead]
    live = [value for is_dead, value in places if not is_dead]
    if not dead or not live:
        assert math.isnan(found.auc.value)
        assert math.isnan(found.average_precision.value)
        return
    pairs = [(a > b) + 0.5 * (a == b) for a in dead for b in live]
    assert found.auc.value == pytest.approx(sum(pairs) / len(pairs))
    precision = [sum(v >= value for v in dead) / sum(v >= value for v in (*dead, *live)) for value in dead]
    assert found.average_precision.value == pytest.approx(sum(precision) / len(precision))


def test_places_of_one_problem_hang_together():
    """The same places in one problem leave more open than in many."""
    places = [(True, 2.0), (False, 1.0), (True, 0.0)]
    wide, narrow = (ranking(clusters).average_precision for clusters in ([places * 9], [places] * 9))
    assert wide.value == narrow.value
    assert wide.low < narrow.low


def test_a_value_that_is_not_known_is_refused():
    """One nan would rank anywhere."""
    with pytest.raises(MetricError, match="nan"):
        ranking([[(True, math.nan), (False, 0.0)]])
