"""Search Sudokus of four rows: rows are filled in from top to bottom.

    . 2 . .        the grid, a point for each empty cell
    3 . . .
    . . . 1
    . 1 . .

    1 2 3 4        the rows, filled in, one a line
    ...

A row may be any order of 1 to 4 that keeps its givens. Two equal numbers in a column or in a square of two by
two, among the rows so far and the givens below, are a contradiction.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from typing import Any

from halluc_plugin.errors import DataError
from halluc_plugin.problem_sets.search import SearchStep

Row = tuple[int, ...]
"""Four numbers, 0 for an empty cell."""

EMPTY, SIGN = 0, "."
PLACES = tuple((row, column) for row in range(4) for column in range(4))
UNITS = (
    *(tuple((row, column) for row in range(4)) for column in range(4)),
    *(tuple((r + i, c + j) for i in range(2) for j in range(2)) for r in (0, 2) for c in (0, 2)),
)
"""Columns and squares; rows have four different numbers by construction."""


@dataclass(frozen=True)
class Filling:
    """The state of an answer.

    Attributes:
        givens: The grid of the problem.
        done: The rows that are filled in.
    """

    givens: tuple[Row, ...]
    done: tuple[Row, ...] = ()


class SudokuSearch:
    """The search task; ``problem`` holds ``grid``, the four lines of the prompt."""

    def begin(self, problem: Mapping[str, Any]) -> Filling:
        """Return the state in which no row is filled in."""
        return Filling(givens_of(tuple(map(str, problem["grid"]))))

    def steps(self, state: Filling) -> list[SearchStep[Filling]]:
        """Return the ways to fill in the next row."""
        if len(state.done) == 4:
            return []
        given = state.givens[len(state.done)]
        rows = [row for row in permutations((1, 2, 3, 4)) if _keeps(row, given)]
        return [SearchStep(f"{shown(row)}\n", Filling(state.givens, (*state.done, row))) for row in rows]

    def dead(self, state: Filling) -> bool:
        """Return whether no right answer begins with these rows."""
        return not any(grid[: len(state.done)] == state.done for grid in solutions(state.givens))

    def contradiction(self, state: Filling) -> bool:
        """Return whether a number is twice in a column or in a square."""
        grid = (*state.done, *state.givens[len(state.done) :])
        return not _is_sound(grid)

    def well_formed(self, problem: Mapping[str, Any], line: str) -> bool:  # noqa: ARG002 - the interface's
        """Return whether a line has four numbers from 1 to 4."""
        return bool(re.fullmatch(r"[1-4]( [1-4]){3}", line))


def shown(row: Sequence[int]) -> str:
    """Return the text of a row."""
    return " ".join(SIGN if number == EMPTY else str(number) for number in row)


def _keeps(row: Row, given: Row) -> bool:
    return all(known in {EMPTY, number} for number, known in zip(row, given, strict=True))


def _is_sound(grid: Sequence[Row]) -> bool:
    for unit in UNITS:
        numbers = [grid[row][column] for row, column in unit if grid[row][column] != EMPTY]
        if len(set(numbers)) < len(numbers):
            return False
    return True


@cache
def grids() -> tuple[tuple[Row, ...], ...]:
    """Return all 288 grids that are filled in correctly."""
    rows = list(permutations((1, 2, 3, 4)))
    halves = [half for half in product(rows, rows) if _is_sound((*half, *[(EMPTY,) * 4] * 2))]
    return tuple((*top, *bottom) for top, bottom in product(halves, halves) if _is_sound((*top, *bottom)))


def solutions(givens: tuple[Row, ...]) -> list[tuple[Row, ...]]:
    """Return all grids that keep the givens."""
    return [grid for grid in grids() if all(map(_keeps, grid, givens))]


@cache
def givens_of(lines: tuple[str, ...]) -> tuple[Row, ...]:
    """Return the grid of a ground truth.

    Raises:
        DataError: The ground truth is not a grid, or no filled grid has its givens.
    """
    shape = r"[1-4.]( [1-4.]){3}"
    if len(lines) != 4 or not all(re.fullmatch(shape, line) for line in lines):
        raise DataError(
            f"The grid {' / '.join(lines)} is no sudoku of four rows.",
            "Give four lines of four signs, 1 to 4 or a point, with blanks between.",
        )
    givens = tuple(tuple(EMPTY if sign == SIGN else int(sign) for sign in line.split(" ")) for line in lines)
    if not solutions(givens):
        raise DataError(
            f"The grid {' / '.join(lines)} has a wrong given: it cannot be filled in.",
            "Correct it, or draw another: `halluc data sudoku`.",
        )
    return givens
