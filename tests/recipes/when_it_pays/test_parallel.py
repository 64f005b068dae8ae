"""Rules that pick one of many answers without an oracle."""

import pytest

from halluc_plugin.recipes.when_it_pays.parallel import best_of, majority, reaches


@pytest.mark.parametrize(
    ("text", "seen"), [("ABBB\n", True), ("ABBB", True), ("CACB\n", False), ("ABB\nB", False), ("", False)]
)
def test_the_goal_is_seen_behind_a_path_that_ends_in_it(text, seen):
    """The last two signs are the goal."""
    assert reaches(text, "B") is seen


def test_best_of_takes_the_first_that_reaches_the_goal():
    """And the first answer if none does."""
    assert best_of(["CACB\n", "ABBB\n", "BBBB\n"], "B") == 1
    assert best_of(["CACB\n", "CACB\n"], "B") == 0


def test_majority_takes_the_most_frequent_answer():
    """Of equally frequent ones that which came first."""
    assert majority(["x", "y", "y", "z"], "B") == 1
    assert majority(["x", "y", "y", "x"], "B") == 0
