"""What an experiment leaves to be read: tables on the screen and in ``tables/``, plots in ``plots/``."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from halluc_plugin.atomic_files import whole_file
from halluc_plugin.recipes.lab.plotting import Plot, draw

WIDTH = 1000
"""No cell is cut off."""


def report_table(table: Table, name: str, out: Path) -> None:
    """Print a table, and write it as Markdown.

    Args:
        table: The table.
        name: Of its file, without ``.md``.
        out: Folder of the experiment.
    """
    Console(width=WIDTH).print(table)
    path = out / "tables" / f"{name}.md"
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        Console(file=file, width=WIDTH).print(table)


def report_plot(plot: Plot, name: str, out: Path) -> None:
    """Write a plot.

    Args:
        plot: The plot.
        name: Of its file, without ``.png``.
        out: Folder of the experiment.

    Raises:
        SettingsError: matplotlib is not installed.
    """
    path = out / "plots" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(plot, path)
