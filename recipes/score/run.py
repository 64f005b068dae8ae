"""SCoRe (arXiv 2409.12917): two attempts in turns, trained in two stages.

    python -m halluc_plugin.recipes.score.run --out outputs/score

Deviations from the paper; its equations and constants are those of `halluc_plugin.rl.turn_rollouts`:

1. Policies of 0.2M parameters from scratch on two synthetic tasks, in place of Gemini on MATH and MBPP.
2. All arms begin with fine-tuning on two attempts, since a model from scratch follows no request.
3. Advantages are relative to the group of a problem; a turn is paid for its own attempt (from memory).
4. KL is held by ½ (log π - log π_0)² of sampled tokens; the start of stage II is the end of stage I.
5. Held-out problems are answered at temperature 1, where the paper is greedy.

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
from halluc_plugin.recipes.lab import forgetting
from halluc_plugin.recipes.lab.keeping import keep_scale, kept_cell
from halluc_plugin.recipes.lab.reporting import cells_of_seeds, report_plot, report_table
from halluc_plugin.recipes.prm_backtracking.tasks import Task
from halluc_plugin.recipes.score import tables
from halluc_plugin.recipes.score.measuring import measure
from halluc_plugin.recipes.score.models import Arm, Models
from halluc_plugin.recipes.score.scale import FULL, QUICK, Scale


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
    write_whole(out / "tables" / "cells.json", json.dumps(cells) + "\n")


def _run(out: Path, scale: Scale, tasks: list[Task], seed: int) -> Iterator[dict[str, Any]]:
    for task in tasks:
        models = Models(out, scale, task, seed)
        for arm in Arm:
            path = models.folder / "cells" / f"{arm.name.lower()}.json"
            of = {"task": str(task), "arm": str(arm), "seed": seed, "name": f"{task}, {arm}"}
            yield kept_cell(path, partial(_measured, models, arm, of))
            models.forgotten(models.model(arm), str(arm))


def _measured(models: Models, arm: Arm, of: dict[str, Any]) -> dict[str, Any]:
    return of | measure(models, arm)


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
