"""Where taking back pays: its arms, and what one would do without it, at known costs.

    python -m halluc_plugin.recipes.when_it_pays.run --out outputs/when_it_pays

Data, models and cells are kept, so an interrupted run can be resumed. Tables show what is there.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.cli.app import run as run_command
from halluc_plugin.errors import DataError
from halluc_plugin.recipes.lab.keeping import keep_scale
from halluc_plugin.recipes.lab.reporting import report_plot, report_table
from halluc_plugin.recipes.lab.tabulating import Cell
from halluc_plugin.recipes.when_it_pays import figures, tables
from halluc_plugin.recipes.when_it_pays.bench import Bench
from halluc_plugin.recipes.when_it_pays.cells import Cells
from halluc_plugin.recipes.when_it_pays.grids import Part, specs
from halluc_plugin.recipes.when_it_pays.scale import FULL, QUICK


def main(  # noqa: PLR0917 - options of a command
    out: Annotated[Path, typer.Option(help="Folder for data, models, cells, tables and plots.")],
    seeds: Annotated[int, typer.Option(help="Seeds 0 to this, exclusive.")] = 3,
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed (repeat it).")] = None,
    part: Annotated[list[Part] | None, typer.Option(help="Only this part (repeat it).")] = None,
    arm: Annotated[list[str] | None, typer.Option(help="Only this model (repeat it).")] = None,
    known: Annotated[
        list[Path] | None,
        typer.Option(help="Cells of other runs for the tables (their tables/cells.json; repeat it)."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small and short: does everything run?")] = False,
) -> None:
    """Run what is missing, then write and print the tables of all that is there."""
    others = [cell for path in known or () for cell in _read(path)]
    scale = QUICK if quick else FULL
    described = {f"{of}: {name}": spec.described() for of in Part for name, spec in specs(of, scale).items()}
    keep_scale(out, scale, described)
    chosen = list(range(seeds)) if seed is None else seed
    for one in chosen:
        for asked in part or list(Part):
            for name in Cells(Bench(out, scale, one)).made(asked, arm):
                Console(stderr=True).print(f"{asked}, seed {one}: {name}", highlight=False)
    report(out, others)


def report(out: Path, others: Sequence[Cell] = ()) -> None:
    """Write and print the tables and plots of all cells in a folder.

    Args:
        out: The folder.
        others: Cells of other runs; of two cells of one seed the folder's counts.
    """
    found = {_place(cell): cell for cell in (*others, *_kept(out))}
    cells = [found[place] for place in sorted(found)]
    for name, table in tables.TABLES.items():
        report_table(table(cells), name, out)
    for name, plot in figures.plots(cells):
        report_plot(plot, name, out)
    write_whole(out / "tables" / "cells.json", json.dumps(list(map(tables.compact, cells))) + "\n")


def _place(cell: Cell) -> tuple[int, str, str]:
    return cell["seed"], cell["part"], cell["name"]


def _read(path: Path) -> list[Cell]:
    """The cells of another run.

    Raises:
        DataError: The file is not there, or holds something else.
    """
    try:
        return list(map(tables.whole, json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path} holds no cells of this experiment.", "Pass tables/cells.json of another run's folder."
        ) from error


def _kept(out: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(out.glob("seed-*/cells/*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_command(partial(typer.run, main))
