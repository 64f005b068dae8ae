"""Sudokus of four rows: their judge against a plain check of rows, columns and squares."""

import itertools

import pytest

from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.problem_sets.steps import StepSplit, generate
from halluc_plugin.tasks import load
from halluc_plugin.tasks.sudoku.grid import grids
from halluc_plugin.tasks.sudoku.problems import SudokuProblems
from halluc_plugin.verifiers import Outcome

VERIFIER = load("sudoku").verifier


def is_right(rows):
    """Whether each row, column and square has four different numbers."""
    columns = list(zip(*rows, strict=True))
    squares = [[rows[r + i][c + j] for i in (0, 1) for j in (0, 1)] for r in (0, 2) for c in (0, 2)]
    return all(len(set(unit)) == 4 for unit in (*rows, *columns, *squares))


def test_all_grids():
    """There are 288, and they are those of the rules."""
    lines = list(itertools.permutations((1, 2, 3, 4)))
    assert len(grids()) == len(set(grids())) == 288
    assert all(is_right(grid) for grid in grids())
    assert sum(is_right(rows) for rows in itertools.product(lines[:4], lines, lines, lines)) == 48


def test_one_grid_is_right():
    """Of all grids exactly one keeps the givens: the reference answer."""
    for problem in generate(SudokuProblems(), StepSplit.TRAIN, 5):
        answers = ["".join(f"{' '.join(map(str, row))}\n" for row in grid) for grid in grids()]
        right = [text for text in answers if VERIFIER.verify(problem.truth, text) is Outcome.CORRECT]
        assert right == [problem.answer]
        signs = " ".join(problem.truth["grid"]).split()
        assert sum(sign != "." for sign in signs) == 6
        assert all(s in {".", a} for s, a in zip(signs, problem.answer.split(), strict=True))


def test_new_grids_never_occur_in_training():
    """What test_new is filled in with, no training problem is."""
    problems = SudokuProblems()
    train, new = (
        {p.answer for p in generate(problems, s, 200)} for s in (StepSplit.TRAIN, StepSplit.TEST_NEW)
    )
    assert not train & new


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        (["1 1 . .", ". . . .", ". . . .", ". . . ."], "wrong given"),
        (["1 . . .", ". 1 . .", ". . . .", ". . . ."], "wrong given"),
        (["1 . . .", ". . . .", ". . . ."], "no sudoku of four rows"),
        (["5 . . .", ". . . .", ". . . .", ". . . ."], "no sudoku of four rows"),
    ],
)
def test_grids_that_are_no_problem(grid, said):
    """A wrong given, or a grid of another shape, says so."""
    with pytest.raises(DataError, match=said):
        VERIFIER.verify({"grid": grid}, "1 2 3 4")


@pytest.mark.parametrize("values", [{"givens": 3}, {"givens": 16}, {"seed": -1}])
def test_options_out_of_range(values):
    """Fewer than four givens have no single answer, sixteen no question."""
    with pytest.raises(SettingsError, match=r"cells are given|seed is"):
        SudokuProblems(**values)
