"""Draw Sudokus of four rows with one answer each.

A tenth of all filled grids occurs only in ``test_new``.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.files import SEED_HELP
from halluc_plugin.problem_sets.options import option
from halluc_plugin.problem_sets.search_files import SearchProblems
from halluc_plugin.problem_sets.steps import Problem, check_seed
from halluc_plugin.tasks.sudoku.grid import EMPTY, PLACES, SudokuSearch, grids, shown, solutions

NAME = "sudoku"
SOURCES = ("halluc/sudoku", "halluc/sudoku-new")
DRAWS = 10_000
"""Number of grids drawn for one problem before drawing is given up."""


@dataclass(frozen=True)
class SudokuProblems(SearchProblems):
    """Problems of Sudoku.

    Args:
        givens: Number of cells that are given, 4 to 15; with fewer, several answers are right.
        seed: Seed of all random choices.

    Raises:
        SettingsError: A value is out of range.
    """

    name: ClassVar[str] = NAME
    sources: ClassVar[tuple[str, ...]] = SOURCES
    search: ClassVar[SudokuSearch] = SudokuSearch()

    givens: int = option(6, "Number of cells that are given.")
    seed: int = option(0, SEED_HELP)

    def __post_init__(self) -> None:
        if not 4 <= self.givens <= 15:
            raise SettingsError(f"{self.givens} cells are given.", "Give 4 to 15 of 16.")
        check_seed(self.seed)

    def draw(self, size: int, rng: np.random.Generator) -> Problem:  # noqa: ARG002 - all have one size
        """Return a random problem with one answer; its topic is the filled grid.

        Raises:
            SettingsError: No such problem was found.
        """
        for _ in range(DRAWS):
            grid = grids()[int(rng.integers(len(grids())))]
            known = {PLACES[place] for place in rng.permutation(16)[: self.givens]}
            asked = tuple(
                tuple(number if (i, j) in known else EMPTY for j, number in enumerate(row))
                for i, row in enumerate(grid)
            )
            if len(solutions(asked)) == 1:
                lines, steps = [shown(row) for row in asked], tuple(f"{shown(row)}\n" for row in grid)
                return Problem("\n".join(lines) + "\n\n", {"grid": lines}, steps, topic="".join(steps))
        raise SettingsError(
            f"Of {DRAWS} grids with {self.givens} givens none has one answer.", "Give more cells."
        )
