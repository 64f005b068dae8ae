"""ReVISE (arXiv 2502.14565): verify a finished answer, then correct it.

    python -m halluc_plugin.recipes.revise.run --out outputs/revise

Deviations from the paper. Its abstract and its released data and training scripts were read; what is said of
its decoding is from memory:

1. Policies of 0.2M parameters from scratch on two synthetic tasks, in place of Llama-3 on GSM8K and MATH.
2. A wrong attempt is corrected by a right one of the model's own; the released code takes the solution.
3. The refine token is the restart token: what is left of a sample is its last attempt. It is untrained before
   the first stage.
4. The confidence of an answer is 1 - P(edit) where it ends; a sample that would be refined more often than
   ``rounds`` is dropped.
5. The likelihood of the chosen side has weight 1; the paper's released scripts have 0.1.

Models, pairs and cells are kept: an interrupted run goes on where it was. Tables show what is there.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.cli.app import run as run_command
from halluc_plugin.recipes.lab import forgetting
from halluc_plugin.recipes.lab.keeping import keep_scale, kept_cell
from halluc_plugin.recipes.lab.reporting import cells_of_seeds, report_plot, report_table
from halluc_plugin.recipes.prm_backtracking.tasks import Task
from halluc_plugin.recipes.revise import tables
from halluc_plugin.recipes.revise.measuring import measure
from halluc_plugin.recipes.revise.models import Arm, Models
from halluc_plugin.recipes.revise.scale import FULL, QUICK, Scale


def main(
    out: Annotated[Path, typer.Option(help="Folder for data, models, cells, tables and plots.")],
    seeds: Annotated[int, typer.Option(help="Seeds 0 to this, exclusive.")] = 3,
    task: Annotated[list[Task] | None, typer.Option(help="Only this task (repeat it).")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small and short: does everything run?")] = False,
) -> None:
    """Run what is missing, then write and print the tables."""
    scale = QUICK if quick else FULL
    keep_scale(out, scale)
    cells = cells_of_seeds(seeds, partial(_run, out, scale, task or list(Task)), named="name")
    for name, table in tables.TABLES.items():
        report_table(table(cells), name, out)
    forgetting.report(out, Task, Arm)
    for name, plot in tables.plots(cells):
        report_plot(plot, name, out)
    write_whole(out / "tables" / "cells.json", json.dumps([tables.compact(cell) for cell in cells]) + "\n")


def _run(out: Path, scale: Scale, tasks: list[Task], seed: int) -> Iterator[dict[str, Any]]:
    for task in tasks:
        models = Models(out, scale, task, seed)
        for arm in Arm:
            path = models.folder / "cells" / f"{arm.name.lower()}.json"
            of = {"task": str(task), "arm": str(arm), "seed": seed, "name": f"{task}, {arm}"}
            yield kept_cell(path, partial(_measured, models, arm, of))
            if arm is not Arm.POLICY:
                models.forgotten(models.model(arm), str(arm))


def _measured(models: Models, arm: Arm, of: dict[str, Any]) -> dict[str, Any]:
    return of | measure(models, arm)


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
