"""Run SequenceMatch (arXiv 2306.05426) on a small scale: one command for each part, and one for all.

    python -m halluc_plugin.recipes.sequence_match.run all --out outputs/sequence_match

Data, models and cells are kept, so an interrupted run can be resumed.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from halluc_plugin.cli.app import run as run_command
from halluc_plugin.recipes.lab.keeping import keep_scale, kept_cell
from halluc_plugin.recipes.lab.plotting import Plot
from halluc_plugin.recipes.lab.reporting import cells_of_seeds, report_plot, report_table
from halluc_plugin.recipes.sequence_match import tables
from halluc_plugin.recipes.sequence_match.arithmetic import Arithmetic
from halluc_plugin.recipes.sequence_match.regret import regret
from halluc_plugin.recipes.sequence_match.scale import FULL, QUICK, Scale
from halluc_plugin.recipes.sequence_match.text import Text

Cells = Sequence[dict[str, Any]]


class Part(StrEnum):
    """The part that is run."""

    ARITHMETIC = "arithmetic"
    TEXT = "text"
    REGRET = "regret"
    ALL = "all"


def main(
    part: Annotated[Part, typer.Argument(help="The part, or all.")],
    out: Annotated[Path, typer.Option(help="Folder for data, models, cells, tables and plots.")],
    seeds: Annotated[int, typer.Option(help="Seeds 0 to this, exclusive.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="Small and short: does everything run?")] = False,
) -> None:
    """Run what is missing, then write and print the tables."""
    scale = QUICK if quick else FULL
    keep_scale(out, scale)
    for name in list(PARTS) if part is Part.ALL else [part]:
        run, table, plot = PARTS[name]
        cells = cells_of_seeds(seeds, partial(run, out, scale), what=name)
        report_table(table(cells), name, out)
        report_plot(plot(cells), name, out)


def _regrets(out: Path, scale: Scale, seed: int) -> Iterator[dict[str, Any]]:
    for length in scale.lengths:
        for arm, matched in (("likelihood", False), ("SequenceMatch", True)):
            path = out / "cells" / "regret" / f"{arm}-{length}-{seed}.json"

            def measure(arm: str = arm, length: int = length, matched: bool = matched) -> dict[str, Any]:
                found = regret(length, matched=matched, seed=seed)
                return {"arm": arm, "seed": seed, "length": length, "regret": found}

            yield kept_cell(path, measure)


PARTS: dict[
    Part,
    tuple[
        Callable[[Path, Scale, int], Iterator[dict[str, Any]]],
        Callable[[Cells], Table],
        Callable[[Cells], Plot],
    ],
] = {
    Part.ARITHMETIC: (lambda *of: Arithmetic(*of).cells(), tables.arithmetic, tables.arithmetic_plot),
    Part.TEXT: (lambda *of: Text(*of).cells(), tables.text, tables.text_plot),
    Part.REGRET: (_regrets, tables.regret, tables.regret_plot),
}


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
