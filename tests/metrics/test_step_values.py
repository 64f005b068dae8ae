"""Quality of step values, by hand: calibration, distance from what is known, and where the first error is."""

import math

import pytest

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics import ScoredResponse, first_error_f1, step_value_quality
from halluc_plugin.metrics.step_values import NO_ERROR

RIGHT = ScoredResponse(0, [0.5, 0.85, 0.95], [0.5, 1.0, 1.0], correct=True)
WRONG = ScoredResponse(1, [0.5, 0.85, 0.15, 0.25], [0.5, 0.5, 0.0, 0.0], correct=False)


def test_quality_by_hand():
    """Of one right and one wrong response of two and three steps."""
    found = step_value_quality([RIGHT, WRONG])
    assert (found.responses, found.steps) == (2, 5)
    squares = [0.15**2, 0.05**2, 0.35**2, 0.15**2, 0.25**2]
    assert found.mse == pytest.approx(sum(squares) / 5)
    assert found.brier == pytest.approx((0.05**2 + 0.25**2) / 2)
    # Values 0.85 share a bin, whose targets have the mean 0.75; the three others have one each.
    assert found.ece == pytest.approx((2 * 0.1 + 0.05 + 0.15 + 0.25) / 5)
    assert [each.count for each in found.bins] == [1, 1, 2, 1]
    assert (found.accuracy_right.value, found.accuracy_wrong.value) == (1, 1)
    # One first error (0.15) against the steps before any: 0.85, 0.95, 0.85.
    assert found.first_error_auroc.value == 1
    assert found.advantage_auroc.value == 1
    assert found.first_error_f1 == 1


def test_advantages_see_a_fall_that_values_do_not():
    """A problem that is hard from the start has low values without an error, but no fall."""
    hard = ScoredResponse(2, [0.1, 0.1, 0.1], [0.1, 0.2, 1.0], correct=True)
    found = step_value_quality([hard, WRONG])
    assert found.first_error_auroc.value == pytest.approx(1 / 3)
    assert found.advantage_auroc.value == 1
    assert found.first_error_f1 == 0


@pytest.mark.parametrize(
    ("targets", "correct", "place"),
    [
        ([0.5, 1.0, 0.0, 0.0], False, 1),
        ([0.5, 0.5, 0.5, 1.0], True, NO_ERROR),
        ([None, None, None, 1.0], True, NO_ERROR),
        ([None, None, None, 0.0], False, None),
        ([None, 1.0, 0.0, None], False, 1),
        ([0.5, 0.5, None, 0.0], False, None),
        ([0.5, None, None, 0.25, 0.0, 0.0], False, 3),
        ([0.5, None, 0.25, None, 0.0], False, None),
    ],
)
def test_the_first_error_is_where_nothing_right_follows(targets, correct, place):
    """It is not known where a target right before it is missing; those before a good step are not needed."""
    assert ScoredResponse(0, [0.5] * len(targets), targets, correct).first_error == place


def test_what_nothing_shows_is_nan():
    """Without known steps there is no calibration, without wrong responses no share of them."""
    found = step_value_quality([ScoredResponse(0, [0.5, 0.5], [None, None], correct=True)])
    assert all(
        map(math.isnan, (found.mse, found.ece, found.accuracy_wrong.value, found.first_error_auroc.value))
    )
    assert found.first_error_f1 == 0


def test_a_response_without_steps_is_refused():
    """So is one with fewer targets than values."""
    for values, targets in (([0.5], [0.5]), ([0.5, 0.5], [0.5])):
        with pytest.raises(MetricError, match="one of each"):
            ScoredResponse(0, values, targets, correct=True)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(True, 1.0), (True, 0.0), (False, 1.0)], 2 * 0.5 / 1.5),
        ([(True, 0.0), (False, 0.0)], 0.0),
        ([(True, 1.0)], 0.0),
    ],
)
def test_f1(pairs, expected):
    """The harmonic mean of two accuracies; without one kind of responses there is none."""
    assert first_error_f1(pairs) == pytest.approx(expected)
