"""Wrong to right and right to wrong, by hand."""

import math

import pytest

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics import Proportion, correction, paired_difference

FIRST = [True] * 4 + [False] * 6
SECOND = [True, True, True, False, True, True, False, False, False, False]


def test_the_ten_problems_by_hand():
    """4 right at first, 5 in the end: two corrected, one spoilt."""
    result = correction(FIRST, SECOND)
    assert result.first == Proportion.of(4, 10)
    assert result.second == Proportion.of(5, 10)
    assert result.to_correct == Proportion.of(2, 10)
    assert result.to_incorrect == Proportion.of(1, 10)
    assert result.conditional == Proportion.of(2, 6)
    assert (result.test.only_first, result.test.only_second) == (1, 2)


def test_delta_is_the_difference_of_both():
    """Δ = Acc@t2 - Acc@t1 = Δ(i→c) - Δ(c→i), with the paired interval."""
    result = correction(FIRST, SECOND)
    assert result.delta.value == pytest.approx(result.to_correct.value - result.to_incorrect.value)
    assert result.delta == paired_difference(SECOND, FIRST)


def test_nothing_to_correct_is_nan_of_zero():
    """When every first answer is right the conditional rate is over no problems."""
    result = correction([True, True], [True, False])
    assert math.isnan(result.conditional.value)
    assert (result.conditional.n, result.conditional.low, result.conditional.high) == (0, 0.0, 1.0)


def test_names_of_outcomes_are_refused():
    """The string "wrong" would be true."""
    with pytest.raises(MetricError, match="booleans"):
        correction(["wrong"], ["correct"])
