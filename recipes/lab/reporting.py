"""Report an experiment: tables on the screen and in ``tables/``, plots in ``plots/``."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from halluc_plugin.atomic_files import whole_file
from halluc_plugin.recipes.lab.plotting import Plot, draw

WIDTH = 1000
"""No cell is cut off."""


def cells_of_seeds(
    seeds: int, run: Callable[[int], Iterable[dict[str, Any]]], *, what: str = "", named: str = "arm"
) -> list[dict[str, Any]]:
    """Return the cells of all seeds, and print the name of each when it is measured.

    Args:
        seeds: Seeds 0 to this, exclusive.
        run: Function that measures the cells of a seed, one after the other.
        what: Name of the part that is run, for an experiment with several parts.
        named: The key under which a cell has its name.
    """
    cells, screen = [], Console(stderr=True)
    for seed in range(seeds):
        for cell in run(seed):
            screen.print(f"{what + ', ' if what else ''}seed {seed}: {cell[named]}", highlight=False)
            cells.append(cell)
    return cells


def report_table(table: Table, name: str, out: Path) -> None:
    """Print a table, and write it as Markdown.

    Args:
        table: The table to print and write.
        name: Name of the file, without ``.md``.
        out: Folder of the experiment.
    """
    Console(width=WIDTH).print(table)
    path = out / "tables" / f"{name}.md"
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        Console(file=file, width=WIDTH).print(table)


def report_plot(plot: Plot, name: str, out: Path) -> None:
    """Write a plot.

    Args:
        plot: The plot to write.
        name: Name of the file, without ``.png``.
        out: Folder of the experiment.

    Raises:
        SettingsError: matplotlib is not installed.
    """
    path = out / "plots" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(plot, path)
