"""The didactic task of backtracking by a process reward model (OpenReview hJ2BCYGvFg), in tokens.

python -m halluc_plugin.recipes.prm_backtracking.run --out outputs/prm_backtracking
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from halluc_plugin.cli.app import run as run_command
from halluc_plugin.recipes.lab.reporting import cells_of_seeds, report_plot, report_table
from halluc_plugin.recipes.prm_backtracking.didactic import plot, run_stage, table

HARD, CHANCE, RUNS = (1, 2, 3, 4), 0.4, 200
"""Numbers of hard digits, the chance of a right one, and searches of each seed."""


def main(
    out: Annotated[Path, typer.Option(help="Folder for the table and the plot.")],
    seeds: Annotated[int, typer.Option(help="Seeds 0 to this, exclusive.")] = 3,
) -> None:
    """Search until every answer is right, then write and print how many tokens it took."""
    cells = cells_of_seeds(seeds, _measured, named="name")
    report_table(table(cells, CHANCE), "didactic", out)
    report_plot(plot(cells), "didactic", out)


def _measured(seed: int) -> Iterator[dict[str, Any]]:
    return run_stage(HARD, CHANCE, RUNS, seed)


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
