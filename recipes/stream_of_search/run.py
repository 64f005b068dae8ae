"""Run Stream of Search (arXiv 2404.03683) on a small scale.

    python -m halluc_plugin.recipes.stream_of_search.run --out outputs/stream_of_search

Data, models and cells are kept, so an interrupted run can be resumed.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from halluc_plugin.cli.app import run as run_command
from halluc_plugin.recipes.lab.keeping import keep_scale, kept_cell
from halluc_plugin.recipes.lab.reporting import cells_of_seeds, report_plot, report_table
from halluc_plugin.recipes.stream_of_search import tables
from halluc_plugin.recipes.stream_of_search.bench import Bench
from halluc_plugin.recipes.stream_of_search.measuring import measured, strategies
from halluc_plugin.recipes.stream_of_search.scale import FULL, QUICK, Scale
from halluc_plugin.tasks.countdown.streams.files import AnswerFormat


def main(
    out: Annotated[Path, typer.Option(help="Folder for data, models, cells, tables and plots.")],
    seeds: Annotated[int, typer.Option(help="Seeds 0 to this, exclusive.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="Small and short: does everything run?")] = False,
) -> None:
    """Run what is missing, then write and print the tables."""
    scale = QUICK if quick else FULL
    keep_scale(out, scale)
    cells = cells_of_seeds(seeds, partial(_cells, out, scale))
    for name, table in tables.TABLES.items():
        report_table(table(cells), name, out)
    report_plot(tables.budgets_plot(cells), "budgets", out)


def _cells(out: Path, scale: Scale, seed: int) -> Iterator[dict[str, Any]]:
    """The cells of a seed, the searches themselves first."""
    bench = Bench(out, scale, seed)

    def cell(arm: str, measure: partial[dict[str, Any]]) -> dict[str, Any]:
        path = out / "cells" / f"{arm.replace(' ', '-')}-{seed}.json"
        return kept_cell(path, lambda: {"arm": arm, "seed": seed, **measure()})

    yield cell(tables.SEARCHES, partial(strategies, bench))
    optimal = bench.trained("optimal", bench.data(AnswerFormat.OPTIMAL).traces, scale.steps)
    yield cell(tables.OPTIMAL, partial(measured, bench, optimal, scale.optimal_samples))
    data = bench.data(AnswerFormat.STREAM).traces
    start = bench.trained("streams", data, scale.steps)
    yield cell(tables.STREAMS, partial(measured, bench, start, scale.samples))
    model = start
    for number in range(1, scale.rounds + 1):
        found = bench.collected(f"star-{number}", model)
        if found is not None:  # a model without a right answer has nothing to learn from
            model = bench.trained(f"star-{number}", found, scale.round_steps, model)
        yield cell(f"{tables.STAR} {number}", partial(measured, bench, model, scale.samples))
    further = bench.trained("further", data, scale.rounds * scale.round_steps, start)
    yield cell(tables.FURTHER, partial(measured, bench, further, scale.samples))


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
