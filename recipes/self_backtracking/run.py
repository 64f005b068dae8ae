"""Self-Backtracking (arXiv 2502.04404) on a laptop: one command for each stage, and one for all.

    python -m halluc_plugin.recipes.self_backtracking.run all --out outputs/self_backtracking
    python -m halluc_plugin.recipes.self_backtracking.run search --out outputs/self_backtracking --seeds 1

Data, models and cells are kept, so an interrupted run can be resumed, and stages share what they have in
common.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from halluc_plugin.cli.app import run as run_command
from halluc_plugin.recipes.lab.keeping import keep_scale
from halluc_plugin.recipes.lab.reporting import cells_of_seeds, report_plot, report_table
from halluc_plugin.recipes.self_backtracking import (
    corrections,
    expert,
    masking,
    mixes,
    plots,
    searching,
    tables,
    transfer,
)
from halluc_plugin.recipes.self_backtracking.bench import Bench
from halluc_plugin.recipes.self_backtracking.scale import FULL, QUICK, Scale


class Stage(StrEnum):
    """The stage that is run."""

    SEARCH = "search"
    MIXES = "mixes"
    MASKING = "masking"
    LIKELIHOOD = "likelihood"
    EXPERT = "expert"
    EMISSION = "emission"
    CORRECTIONS = "corrections"
    TRANSFER = "transfer"
    ALL = "all"


STAGES: dict[Stage, Callable[[Bench], Iterator[dict[str, Any]]]] = {
    Stage.SEARCH: searching.run_stage,
    Stage.MIXES: mixes.run_stage,
    Stage.MASKING: masking.run_stage,
    Stage.LIKELIHOOD: searching.run_likelihood,
    Stage.EXPERT: expert.run_stage,
    Stage.EMISSION: mixes.run_emission,
    Stage.CORRECTIONS: corrections.run_stage,
    Stage.TRANSFER: transfer.run_stage,
}


def main(
    stage: Annotated[Stage, typer.Argument(help="The stage, or all.")],
    out: Annotated[Path, typer.Option(help="Folder for data, models, cells, tables and plots.")],
    seeds: Annotated[int, typer.Option(help="Seeds 0 to this, exclusive.")] = 3,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small models on few problems: do all stages run?")
    ] = False,
) -> None:
    """Run what is missing, then write and print the tables."""
    scale = QUICK if quick else FULL
    keep_scale(out, scale)
    wanted = list(STAGES) if stage is Stage.ALL else [stage]
    for name in wanted:
        measured = partial(_measured, STAGES[name], out, scale)
        cells = cells_of_seeds(seeds, measured, what=name, named="name")
        report_table(tables.TABLES[str(name)](cells), str(name), out)
        report_plot(plots.PANELS[str(name)](cells), str(name), out)


def _measured(
    run: Callable[[Bench], Iterator[dict[str, Any]]], out: Path, scale: Scale, seed: int
) -> Iterator[dict[str, Any]]:
    return run(Bench(out, scale, seed))


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
