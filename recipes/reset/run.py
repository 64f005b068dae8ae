"""Backtracking for safety (arXiv 2409.14586) on walks with forbidden numbers.

    python -m halluc_plugin.recipes.reset.run --out outputs/reset

Models and cells are kept: an interrupted run goes on where it was. Tables show what is there.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.cli.app import run as run_command
from halluc_plugin.recipes.lab.keeping import keep_scale, kept_cell
from halluc_plugin.recipes.lab.reporting import cells_of_seeds, report_plot, report_table
from halluc_plugin.recipes.reset import tables
from halluc_plugin.recipes.reset.attacks import measure
from halluc_plugin.recipes.reset.models import Arm, Models
from halluc_plugin.recipes.reset.scale import FULL, QUICK, Scale


def main(
    out: Annotated[Path, typer.Option(help="Folder for data, models, cells, tables and plots.")],
    seeds: Annotated[int, typer.Option(help="Seeds 0 to this, exclusive.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="Small and short: does everything run?")] = False,
) -> None:
    """Run what is missing, then write and print the tables."""
    scale = QUICK if quick else FULL
    keep_scale(out, scale)
    cells = cells_of_seeds(seeds, partial(_run, out, scale))
    for name, table in tables.TABLES.items():
        report_table(table(cells), name, out)
    report_plot(tables.plot(cells), "violations", out)
    write_whole(out / "tables" / "cells.json", json.dumps([tables.compact(cell) for cell in cells]) + "\n")


def _run(out: Path, scale: Scale, seed: int) -> Iterator[dict[str, Any]]:
    models = Models(out, scale, seed)
    for arm in Arm:
        yield kept_cell(models.folder / "cells" / f"{arm.name.lower()}.json", partial(measure, models, arm))


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
