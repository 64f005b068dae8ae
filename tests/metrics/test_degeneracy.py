"""Which reward components change an advantage."""

import math

import numpy as np
import pytest

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics import Proportion, reward_degeneracy


def normalised(rewards):
    """Group-normalised advantages of one group, as in GRPO."""
    return (np.array(rewards) - np.mean(rewards)) / (np.std(rewards, ddof=1) + 1e-6)


def test_an_affine_component_trains_nothing():
    """N-MARS's 2 and -2 give the advantages of 1 and 0, until an answer over the edit budget gets 1.5."""
    outcome = np.concatenate([normalised([1, 0, 0, 1]), normalised([1, 0, 0, 1])])
    full = np.concatenate([normalised([2, -2, -2, 2]), normalised([2, -2, -2, 1.5])])
    result = reward_degeneracy(full, outcome, ["a"] * 4 + ["b"] * 4, tolerance=1e-5)
    assert result == Proportion.of(1, 2)


def test_groups_need_not_be_contiguous_and_one_sample_is_enough():
    """Of three groups, interleaved, one has one advantage that moves by 1e-6."""
    with_component = [0.5, 1.0, 0.0, 0.5, 1.0 + 1e-6, 0.0]
    without = [0.5, 1.0, 0.0, 0.5, 1.0, 0.0]
    result = reward_degeneracy(with_component, without, [1, 2, 3, 1, 2, 3], tolerance=5e-7)
    assert result == Proportion.of(2, 3)


def test_the_default_tolerance_is_one_in_a_million():
    """A move of 0.9e-6 counts as none, one of 1.1e-6 as one."""
    result = reward_degeneracy([0.9e-6, 1.1e-6], [0.0, 0.0], [1, 2])
    assert result == Proportion.of(1, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0], [0.0, 1.0], [1, 1]), "shapes"),
        (([[0.0]], [[0.0]], [1]), "shapes"),
        (([math.nan], [0.0], [1]), "not finite"),
    ],
)
def test_inconsistent_advantages_are_refused(arguments, message):
    """Shapes must agree, and nan is not a small difference."""
    with pytest.raises(MetricError, match=message):
        reward_degeneracy(*arguments)
