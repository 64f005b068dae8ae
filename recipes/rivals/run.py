"""The token against its rivals: one policy, as many trained tokens, and as many sampled ones at four budgets.

    python -m halluc_plugin.recipes.rivals.run --task word --out outputs/rivals

Deviations from the papers are those of :mod:`halluc_plugin.recipes.revise.run`,
:mod:`halluc_plugin.recipes.score.run`, :mod:`halluc_plugin.rl.resets` and
:mod:`halluc_plugin.own_errors.pair_rows`; and of this comparison:

1. Trained tokens are equal, sampled ones are reported: fine-tuning samples none, reset training all.
2. Answers are selected by majority, those of ReVISE by its confidence; best of N is by mean log-probability.
3. A budget cuts the sample off that it ends in; that has no answer.
4. A text mark takes back one line, as do all the tokens of one event.
5. Preferences are learned with imitation of the chosen side (arXiv 2404.19733).

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
from halluc_plugin.recipes.lab import forest, forgetting
from halluc_plugin.recipes.lab.keeping import keep_scale, kept_cell
from halluc_plugin.recipes.lab.reporting import report_plot, report_table
from halluc_plugin.recipes.prm_backtracking.tasks import Task
from halluc_plugin.recipes.rivals import tables
from halluc_plugin.recipes.rivals.answering import MAJORITY, measure
from halluc_plugin.recipes.rivals.models import Arm, Models
from halluc_plugin.recipes.rivals.scale import FULL, QUICK

REMEMBERING = set(Arm) - {Arm.TEXT, Arm.ENTROPY, Arm.HEAD}
"""The arms of which is measured what they forgot: with a model of their own, whose edits can be banned."""


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
            for name in (each for each in Arm.of(asked) if arm is None or each in arm):
                kept_cell(_path(models, name), partial(_measured, models, name))
                if name in REMEMBERING:
                    models.forgotten(models.model(name), str(name))
                Console(stderr=True).print(f"{asked}, seed {one}: {name}", highlight=False)
    report(out)


def report(out: Path) -> None:
    """Write and print the tables and plots of all cells in a folder."""
    cells = list(_kept(out))
    for name, table in tables.TABLES.items():
        report_table(table(cells), name, out)
    forgetting.report(out, Task, Arm)
    for name, plot in tables.plots(cells):
        report_plot(plot, name, out)
    if shown := tables.effects(cells):
        make_folder(out / "plots")
        title = f"Accuracy at the largest budget, in points to {MAJORITY}"
        forest.draw(title, shown, out / "plots" / "forest.png")
    write_whole(out / "tables" / "cells.json", json.dumps(cells) + "\n")


def _path(models: Models, arm: Arm) -> Path:
    return models.out / "cells" / f"{models.task}-{models.seed}-{arm.name.lower()}.json"


def _measured(models: Models, arm: Arm) -> dict[str, Any]:
    of = {"task": str(models.task), "seed": models.seed}
    return {name: of | {"arm": name} | told for name, told in measure(models, arm).items()}


def _kept(out: Path) -> Iterator[dict[str, Any]]:
    """The cells, in the order of tasks, arms and seeds."""
    for task in Task:
        for arm in Arm:
            for path in sorted((out / "cells").glob(f"{task}-*-{arm.name.lower()}.json")):
                yield from json.loads(path.read_text(encoding="utf-8")).values()


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
