"""What the tables of all experiments share."""

import pytest

from halluc_plugin.recipes.lab.tabulating import over_seeds


def cells(*values, seeds=(0, 1, 2)):
    """Cells with a number and with answers."""
    return [
        {"seed": seed, "T=1": {"recall": value, "right": {"correct": [1, 0, 0, int(value > 0.5)]}}}
        for seed, value in zip(seeds, values, strict=False)
    ]


def test_differences_over_seeds_are_those_of_students_t():
    """Differences of 10, 20 and 30 points: 20, with 4.303 times the standard error of 5.774 on each side."""
    said = over_seeds(cells(0.2, 0.5, 0.7), cells(0.1, 0.3, 0.4), "T=1", "recall")
    assert said == "+20.0 ± 24.8"


def test_shares_of_right_answers_are_compared_by_seed():
    """One seed of three answers one problem of four more: 25 points by it, and 8.3 over all."""
    said = over_seeds(cells(0.2, 0.4, 0.9), cells(0.1, 0.3, 0.4), "T=1", "right")
    assert said == "+8.3 ± 35.9"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (cells(0.1), "+20.0"),
        (cells(0.1, float("nan")), "+20.0"),
        (cells(0.1, 0.2, seeds=(4, 5)), ""),
        ([], ""),
    ],
)
def test_only_seeds_with_both_values_count(other, said):
    """One alone has no interval, and none no difference."""
    assert over_seeds(cells(0.3, 0.5, 0.7), other, "T=1", "recall") == said
