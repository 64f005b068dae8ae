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
