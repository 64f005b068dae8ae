"""The table and the plot of a stage: printed, and written beside its cells."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from halluc_plugin.recipes.plotting import draw
from halluc_plugin.recipes.self_backtracking import plots, tables

WIDTH = 240


def write(stage: str, cells: Sequence[Mapping[str, Any]], out: Path) -> None:
    """The table of a stage on the screen and in ``tables/``, its plot in ``plots/``.

    Args:
        stage: Its name.
        cells: What it measured, all seeds.
        out: Folder of the experiment.
    """
    table = tables.TABLES[stage](cells)
    Console(width=WIDTH).print(table)
    for folder in ("tables", "plots"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    with (out / "tables" / f"{stage}.md").open("w", encoding="utf-8") as file:
        Console(file=file, width=WIDTH).print(table)
    draw(plots.PANELS[stage](cells), out / "plots" / f"{stage}.png")
