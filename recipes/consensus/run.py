"""Debate, consensus and votes of one model, at as many sampled tokens.

    python -m halluc_plugin.recipes.consensus.run --out outputs/consensus

Deviations from the papers are those of :mod:`halluc_plugin.search.debating`,
:mod:`halluc_plugin.scorers.consistency` and :mod:`halluc_plugin.own_errors.consensus_rows`; and here:

1. Policies of 0.2M parameters from scratch on two synthetic tasks, in place of language models.
2. All arms begin with a model that was fine-tuned on right ones of its own answers, behind shown answers and
   behind none: a model from scratch does not read others' answers.
3. Universal self-consistency reads the first answers alone, as many as were shown in training.
4. MACA is trained by DPO, in one iteration, of its four objectives, with imitation of the chosen side.
5. A budget cuts the sample off that it ends in, which has no answer; of a debate it pays whole rounds.
6. Sampled tokens are equal. What is read is not: debates and choices compute more positions (``slots``).

Data, models and cells are kept: an interrupted run goes on where it was. Tables show what is there.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from halluc_plugin.atomic_files import make_folder, write_whole
from halluc_plugin.cli.app import run as run_command
from halluc_plugin.recipes.consensus.answering import Arm, measure
from halluc_plugin.recipes.consensus.models import Models, Trained
from halluc_plugin.recipes.consensus.scale import FULL, QUICK
from halluc_plugin.recipes.lab import budgets, forest, forgetting
from halluc_plugin.recipes.lab.keeping import keep_scale, kept_cell
from halluc_plugin.recipes.lab.reporting import report_plot, report_table
from halluc_plugin.recipes.prm_backtracking.tasks import Task


def main(  # noqa: PLR0917 - options of a command
    out: Annotated[Path, typer.Option(help="Folder for data, models, cells, tables and plots.")],
    seeds: Annotated[int, typer.Option(help="Seeds 0 to this, exclusive.")] = 3,
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed (repeat it).")] = None,
    task: Annotated[list[Task] | None, typer.Option(help="Only this task (repeat it).")] = None,
    arm: Annotated[list[Arm] | None, typer.Option(help="Only this arm (repeat it).")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small and short: does everything run?")] = False,
) -> None:
    """Run what is missing, then write and print the tables of all that is there."""
    scale = QUICK if quick else FULL
    keep_scale(out, scale)
    for one in list(range(seeds)) if seed is None else seed:
        for asked in task or list(Task):
            models = Models(out, scale, asked, one)
            for name in arm or list(Arm):
                kept_cell(_path(models, name), partial(_measured, models, name))
                models.forgotten(models.model(name.trained), str(name.trained))
                Console(stderr=True).print(f"{asked}, seed {one}: {name}", highlight=False)
    report(out)


def report(out: Path) -> None:
    """Write and print the tables and plots of all cells in a folder."""
    cells = list(_kept(out))
    report_table(budgets.budgets(cells, str(Arm.MAJORITY), more=("slots",)), "budgets", out)
    report_table(budgets.spent(cells), "spent", out)
    forgetting.report(out, Task, Trained)
    for name, plot in budgets.plots(cells):
        report_plot(plot, name, out)
    if shown := budgets.effects(cells, str(Arm.MAJORITY)):
        make_folder(out / "plots")
        title = f"Accuracy at the largest budget, in points to {Arm.MAJORITY}"
        forest.draw(title, shown, out / "plots" / "forest.png")
    write_whole(out / "tables" / "cells.json", json.dumps(cells) + "\n")


def _path(models: Models, arm: Arm) -> Path:
    return models.out / "cells" / f"{models.task}-{models.seed}-{arm.name.lower()}.json"


def _measured(models: Models, arm: Arm) -> dict[str, Any]:
    return {"task": str(models.task), "seed": models.seed, "arm": str(arm)} | measure(models, arm)


def _kept(out: Path) -> Iterator[dict[str, Any]]:
    """The cells, in the order of tasks, arms and seeds."""
    for task in Task:
        for arm in Arm:
            for path in sorted((out / "cells").glob(f"{task}-*-{arm.name.lower()}.json")):
                yield json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
