"""Which components of a reward reach the gradient, by hand."""

import pytest

from halluc_plugin.rewards.influence import unchanged_groups
from halluc_plugin.settings import RewardSettings


def shares(weights, *answers, by_std=True):
    """Of answers (group, outcome, format, backtrack)."""
    parts = [dict(zip(("outcome", "format", "backtrack"), values, strict=True)) for _, *values in answers]
    groups = [group for group, *_ in answers]
    return unchanged_groups(parts, groups, RewardSettings(weights=weights), normalize_by_std=by_std)


def test_groups_without_contrast():
    """A group whose answers earn the same teaches nothing, whatever it earns."""
    found = shares({"outcome": 1.0}, ("a", 1, 1, 0), ("a", 1, 1, 0), ("b", 1, 1, 0), ("b", 0, 1, 0))
    assert found == {"groups": 0.5, "outcome": 0.5}


def test_a_component_that_goes_with_another_changes_nothing():
    """A bonus paid to right answers alone is a rescaling, which normalisation by the deviation removes."""
    weights = {"outcome": 1.0, "backtrack": 0.5}
    answers = (("a", 1, 1, 1), ("a", 0, 1, 0), ("a", 0, 1, 0))
    assert shares(weights, *answers)["backtrack"] == 1.0
    assert shares(weights, *answers, by_std=False)["backtrack"] == 0.0


@pytest.mark.parametrize("right", range(1, 8))
@pytest.mark.parametrize("factor", [0.01, 0.25, 5.0, 4000.0])
def test_no_rescaling_counts_however_large(right, factor):
    """Eight answers, some right: a component affine in the outcome leaves their advantages as they were."""
    answers = [("a", float(i < right), 1, 2.0 * (i < right) - 1) for i in range(8)]
    found = shares({"outcome": 1.0, "backtrack": factor}, *answers)
    assert found == {"groups": 0.0, "outcome": 1.0, "backtrack": 1.0}
    assert shares({"outcome": 1e-3, "backtrack": factor}, *answers)["backtrack"] == 1.0


def test_rounding_is_no_contrast():
    """Three times 0.1 + 0.2 and 0.3 are one reward, and a component that all answers get changes nothing."""
    answers = [("a", 0.3, 0, 0), ("a", 0.1, 0.2, 0), ("a", 0.3, 0, 0)]
    assert shares({"outcome": 1.0, "format": 1.0}, *answers)["groups"] == 1.0
    cancelled = [("a", 1.0, 0, -3.0), ("a", 0.0, 0, 0.0)]  # 0.3 - 3 * 0.1 is not quite 0
    assert shares({"outcome": 0.3, "backtrack": 0.1}, *cancelled)["groups"] == 1.0


def test_a_small_difference_in_large_rewards_counts():
    """A thousandth of a reward of a hundred ranks answers."""
    answers = [("a", 100.0, 0.001, 0), ("a", 100.0, 0, 0)]
    assert shares({"outcome": 1.0, "format": 1.0}, *answers)["format"] == 0.0


def test_an_answer_alone_keeps_its_reward():
    """As in verl: its advantage is its reward, of which the component is a part."""
    assert shares({"outcome": 1.0, "backtrack": 0.5}, ("a", 1, 1, 1))["backtrack"] == 0.0


def test_a_component_with_contrast_of_its_own_counts():
    """It ranks two right answers, so the advantages are others."""
    weights = {"outcome": 1.0, "backtrack": 0.5}
    found = shares(weights, ("a", 1, 1, 1), ("a", 1, 1, 0), ("a", 0, 1, 0), ("b", 1, 1, 0), ("b", 0, 1, 0))
    assert found == {"groups": 0.0, "outcome": 0.0, "backtrack": 0.5}


@pytest.mark.parametrize("weight", [0.0, None])
def test_components_without_weight_are_left_out(weight):
    """Nothing can be said of what is not paid."""
    weights = {"outcome": 1.0} | ({} if weight is None else {"format": weight})
    assert set(shares(weights, ("a", 1, 1, 0), ("a", 0, 0, 0))) == {"groups", "outcome"}
