"""Draw the forest plot of each experiment, ``recipes/NAME/results/effects.png``: ``make docs``.

``recipes/NAME/results/effects.toml`` chooses what is drawn, and every number is read from a table of results:

    title = "What the arms change, in points"
    [[effect]]
    label = "credit by the verifier, recall"
    page = "countdown.md"          # a page of results, and which of its tables, from 1
    table = 2
    row = ["credit, verifier"]     # the row's first cells, without markup; an empty one repeats the one above
    column = "to its reference"    # a cell of the form "1.5 ± 0.3" or "+1.5 [+1.2, +1.8]"

With ``minus = [...]``, a row of the same table, the effect is the mean difference of the two rows over their
seeds, with its 95 % interval (Student's t): the seeds are in the column after ``column``, named ``seeds``.
They are rounded to tenths, so the last digit of such a difference may be off by one or two.
The PNG holds the effects that it shows, so that a test can tell whether it is current.
"""

import re
import statistics
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

from scipy.stats import t

from halluc_plugin.recipes.lab.forest import Effect, described, draw

ROOT = Path(__file__).resolve().parents[1] / "recipes"
NUMBER = r"[+\u2212-]?\d+(?:\.\d+)?"
WITH_HALF = re.compile(rf"({NUMBER}) ± ({NUMBER})")
WITH_ENDS = re.compile(rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]")
SEEDS = "seeds"

__all__ = ["Effect", "ResultsError", "Table", "described", "draw", "effects", "tables"]


class ResultsError(SystemExit):
    """An error of a chosen effect that cannot be read from the tables."""


@dataclass(frozen=True)
class Table:
    """A table of a page: its headings, and its rows without markup, with empty first cells filled in."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def cell(self, row: Sequence[str], column: int) -> str:
        """Return the cell of the one row that begins with these cells.

        Raises:
            ResultsError: No row begins with these cells, or several do.
        """
        found = [cells for cells in self.rows if list(cells[: len(row)]) == list(row)]
        if len(found) != 1:
            raise ResultsError(f"{len(found)} rows begin with {row}.")
        return found[0][column]

    def column(self, heading: str) -> int:
        """Return the index of the first column with this heading.

        Raises:
            ResultsError: No column has this heading.
        """
        if heading not in self.headings:
            raise ResultsError(f"No column is named {heading!r}: {self.headings}.")
        return list(self.headings).index(heading)


def tables(text: str) -> list[Table]:
    """Return the tables of a Markdown page, in order."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append([_plain(cell) for cell in line.strip().strip("|").split("|")])
        elif found[-1]:
            found.append([])
    return [Table(lines[0], _filled(lines[2:])) for lines in found if lines]


def effects(folder: Path) -> list[Effect]:
    """Return the effects that a folder of results chooses, in its order.

    Raises:
        ResultsError: A choice leads to no cell, or to one that holds no effect.
    """
    return [_effect(folder, choice) for choice in _choices(folder)["effect"]]


def _choices(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "effects.toml").read_text(encoding="utf-8"))


def _effect(folder: Path, choice: dict[str, Any]) -> Effect:
    page = tables((folder / choice["page"]).read_text(encoding="utf-8"))
    table = page[choice["table"] - 1]
    column = table.column(choice["column"])
    if "minus" in choice:
        value, half = _over_seeds(table, choice["row"], choice["minus"], column + 1)
        return Effect(choice["label"], value, value - half, value + half)
    cell = table.cell(choice["row"], column)
    if match := WITH_HALF.fullmatch(cell):
        value, half = map(_number, match.groups())
        return Effect(choice["label"], value, value - half, value + half)
    if match := WITH_ENDS.fullmatch(cell):
        return Effect(choice["label"], *map(_number, match.groups()))
    raise ResultsError(f"{choice['page']}, table {choice['table']}, {choice['row']}: {cell!r} is no effect.")


def _over_seeds(table: Table, row: Sequence[str], minus: Sequence[str], column: int) -> tuple[float, float]:
    """Mean difference of two rows over their seeds, and half of its 95 % interval."""
    if column >= len(table.headings) or table.headings[column] != SEEDS:
        raise ResultsError(f"No column {SEEDS!r} stands behind {table.headings[column - 1]!r}.")
    one, other = (
        [_number(value) for value in table.cell(cells, column).split(", ")] for cells in (row, minus)
    )
    differences = [mine - theirs for mine, theirs in zip(one, other, strict=True)]
    error = statistics.stdev(differences) / sqrt(len(differences))
    return statistics.fmean(differences), float(t.ppf(0.975, len(differences) - 1)) * error


def _plain(cell: str) -> str:
    """A cell without emphasis and code marks."""
    return re.sub(r"\*\*|`", "", cell).strip()


def _filled(rows: Sequence[list[str]]) -> list[list[str]]:
    """Rows whose empty first cell repeats the one above."""
    found: list[list[str]] = []
    for row in rows:
        found.append(row if row[0] or not found else [found[-1][0], *row[1:]])
    return found


def _number(text: str) -> float:
    return float(text.replace("\u2212", "-"))


if __name__ == "__main__":
    for choice in sorted(ROOT.glob("*/results/effects.toml")):
        draw(_choices(choice.parent)["title"], effects(choice.parent), choice.with_suffix(".png"))
