"""The didactic task of OpenReview hJ2BCYGvFg, section 3.1, run by the search itself, in tokens."""

import numpy as np
import pytest

from halluc_plugin.recipes.prm_backtracking.didactic import (
    ARMS,
    Counting,
    law,
    plot,
    run_stage,
    table,
    tokens_until_right,
)
from halluc_plugin.theory.mod10 import Mod10, Retry

TASK = Counting(hard=2, p=0.4)


@pytest.mark.parametrize("arm", ["min-advantage, progress", "first"])
def test_tokens_are_those_of_the_theory(arm):
    """Whole suffixes from the first wrong digit; or whole answers until one is right, L p^-K."""
    tokens = np.array(tokens_until_right(TASK, ARMS[arm], 2000, seed=0))
    assert abs(tokens.mean() - law(arm, TASK)) < 4 * tokens.std() / np.sqrt(len(tokens))


def test_the_closed_forms_by_hand():
    """20 digits and EOS, hard ones at 6 and 16: 21 + 1.5 (15 + 5), and 21 / 0.16."""
    assert law("min-advantage, progress", TASK) == pytest.approx(51)
    assert law("first", TASK) == pytest.approx(131.25)
    assert law("min-advantage, final", TASK) is None


def test_by_final_values_alone_a_partial_repair_is_lost():
    """All wrong answers are worth 0 in the end: 80 tokens in place of 51, by hand.

    Of the first answers 0.6 err at 6, and then both digits must be right at once: 15 tokens, 1/0.16 times;
    0.24 err at 16 alone, 5 tokens each 1/0.4 times.
    """
    tokens = np.array(tokens_until_right(TASK, ARMS["min-advantage, final"], 2000, seed=0))
    expected = 21 + 0.6 * 15 / 0.16 + 0.24 * 5 / 0.4
    assert abs(tokens.mean() - expected) < 4 * tokens.std() / np.sqrt(len(tokens))


def test_the_papers_setting():
    """Samples are linear in the errors, but tokens of whole suffixes are 300 times those of rewinding."""
    paper = Mod10()
    assert paper.expected_suffix_tokens(range(6, 1500, 10)) == pytest.approx(2_136_150)
    assert paper.expected_tokens(Retry.MEMORYLESS) == pytest.approx(7200)


def test_the_stage_is_tabled_and_drawn():
    """A row for each arm and for each closed form, a line for each arm."""
    cells = list(run_stage((1, 2), 0.5, 5, seed=0))
    made = table(cells, 0.5)
    assert [column.header for column in made.columns] == ["tokens until right", "K = 1", "K = 2"]
    assert made.row_count == len(ARMS) + 3
    assert [line.label for line in plot(cells).lines] == list(ARMS)
