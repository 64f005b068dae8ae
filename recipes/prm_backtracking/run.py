"""Backtracking by a process reward model (OpenReview hJ2BCYGvFg): its didactic task, and its figures 4 to 9.

    python -m halluc_plugin.recipes.prm_backtracking.run --out outputs/prm_backtracking

Models, values and cells are kept: an interrupted run goes on where it was. Tables show what is there.
"""

import json
from collections.abc import Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.cli.app import run as run_command
from halluc_plugin.recipes.lab.keeping import keep_scale
from halluc_plugin.recipes.lab.reporting import cells_of_seeds, report_plot, report_table
from halluc_plugin.recipes.prm_backtracking import didactic, figures, tables
from halluc_plugin.recipes.prm_backtracking.answers import first_answers
from halluc_plugin.recipes.prm_backtracking.models import Diet, Models
from halluc_plugin.recipes.prm_backtracking.quality import measure_quality
from halluc_plugin.recipes.prm_backtracking.scale import FULL, QUICK, Scale
from halluc_plugin.recipes.prm_backtracking.searching import measures
from halluc_plugin.recipes.prm_backtracking.tasks import Task

HARD, CHANCE, RUNS = (1, 2, 3, 4), 0.4, 200
"""Settings of the didactic task: numbers of hard digits, chance of a right one, searches of each seed."""


class Stage(StrEnum):
    """A part of the experiment; each makes what it needs of those before it."""

    DIDACTIC = "didactic"
    """The didactic task, without a model."""
    POLICY = "policy"
    """The policy, its first answers, and what the oracle says of their steps."""
    SCORERS = "scorers"
    """The scorers, and figures 4, 5 and 7."""
    SEARCH = "search"
    """Figures 6, 8 and 9, and equal FLOPs."""


def main(  # noqa: PLR0917 - options of a command
    out: Annotated[Path, typer.Option(help="Folder for data, models, cells, tables and plots.")],
    seeds: Annotated[int, typer.Option(help="Seeds 0 to this, exclusive.")] = 3,
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed (repeat it).")] = None,
    task: Annotated[list[Task] | None, typer.Option(help="Only this task (repeat it).")] = None,
    stage: Annotated[list[Stage] | None, typer.Option(help="Only this stage (repeat it).")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small and short: does everything run?")] = False,
) -> None:
    """Run what is missing, then write and print the tables of all that is there."""
    stages, scale = stage or list(Stage), QUICK if quick else FULL
    chosen = list(range(seeds)) if seed is None else seed
    if Stage.DIDACTIC in stages:
        _didactic(out, max(chosen) + 1, 5 if quick else RUNS)
    if stages == [Stage.DIDACTIC]:
        return
    keep_scale(out, scale)
    for one in chosen:
        for asked in task or list(Task):
            for name in _run(Models(out, scale, asked, one), stages):
                Console(stderr=True).print(f"{asked}, seed {one}: {name}", highlight=False)
    _report(out, scale, max(seeds, *(one + 1 for one in chosen)))


def _didactic(out: Path, seeds: int, runs: int) -> None:
    cells = cells_of_seeds(seeds, partial(didactic.run_stage, HARD, CHANCE, runs), named="name")
    report_table(didactic.table(cells, CHANCE), "didactic", out)
    report_plot(didactic.plot(cells), "didactic", out)


def _run(models: Models, stages: list[Stage]) -> Iterator[str]:
    """Make what a seed of a task lacks; names what is there."""
    if Stage.POLICY in stages:
        first_answers(models)
        yield "first answers"
    if Stage.SCORERS in stages:
        for diet in Diet:
            models.scorer_report(diet)
            yield f"scorer, {diet}"
        models.cell("quality", partial(measure_quality, models))
        yield "quality"
    if Stage.SEARCH in stages:
        for name, measure in measures(models).items():
            models.cell(name, measure)
            yield name


def _report(out: Path, scale: Scale, seeds: int) -> None:
    cells: list[dict[str, Any]] = []
    for task in Task:
        for seed in range(seeds):
            models = Models(out, scale, task, seed)
            cells += models.kept(["first", "quality", *measures(models)])
    for name, table in tables.TABLES.items():
        report_table(table(cells), name, out)
    for name, plot in figures.plots(cells):
        report_plot(plot, name, out)
    write_whole(out / "tables" / "revision.md", figures.revision_text(cells))
    write_whole(out / "tables" / "cells.json", json.dumps([tables.compact(cell) for cell in cells]) + "\n")


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
