"""Backtracking for safety (arXiv 2409.14586) on walks with forbidden numbers.

    python -m halluc_plugin.recipes.reset.run --out outputs/reset

Models and cells are kept: an interrupted run goes on where it was. Tables show what is there.
"""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.cli.app import run as run_command
from halluc_plugin.errors import SettingsError
from halluc_plugin.metrics import Proportion
from halluc_plugin.recipes.lab.keeping import keep_scale, kept_cell
from halluc_plugin.recipes.lab.reporting import cells_of_seeds, report_plot, report_table
from halluc_plugin.recipes.lab.tabulating import correct_of
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
        cell = kept_cell(models.folder / "cells" / f"{arm.name.lower()}.json", partial(measure, models, arm))
        if arm is Arm.PLAIN:
            require_walks(cell, scale.least)
        yield cell


def require_walks(cell: Mapping[str, Any], least: float) -> None:
    """Refuse a plain model that seldom walks right, before anything is made safe.

    Raises:
        SettingsError: It answers too few harmless prompts right.
    """
    right = Proportion.of_scores(correct_of(cell, "harmless", "resets", "right"))
    if right.value < least:
        raise SettingsError(
            f"Seed {cell['seed']}: the plain model answers {100 * right.value:.1f} % of {right.n} harmless "
            f"prompts right, and {100 * least:g} % are asked for.",
            "Give it more steps or another rate (plain_steps, plain_rate in scale.py), in a new --out.",
        )


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
