"""How the token starts, and how strong it is: initialisation, bias, budgets, ends held back, words.

    python -m halluc_plugin.recipes.token_start.run --out outputs/token_start

Ends are held back in the manner of budget forcing (s1, arXiv 2501.19393, section 3.1). Deviations:

1. What ends is the whole answer, not a part in which the model thinks.
2. The end of an answer is also banned without anything in its place, and a verifier may let it end.

Data, models and cells are kept: an interrupted run goes on where it was. Tables show what is there.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.cli.app import run as run_command
from halluc_plugin.recipes.lab.keeping import keep_scale, kept_cell
from halluc_plugin.recipes.lab.reporting import report_plot, report_table
from halluc_plugin.recipes.token_start import starting, strength, tables
from halluc_plugin.recipes.token_start.models import Models
from halluc_plugin.recipes.token_start.scale import FULL, PRETRAINED, QUICK
from halluc_plugin.tokens import Initialisation

Named = Iterator[tuple[str, dict[str, Any]]]


class Part(StrEnum):
    """A part of the experiment."""

    START = "start"
    """The initialisations of the token."""
    BIAS = "bias"
    """A bias on the token's logit at test time."""
    BUDGET = "budget"
    """Budgets of edits, and what each backtrack is worth."""
    FORCING = "forcing"
    """Ends of answers that are held back."""
    SEARCH = "search"
    """Searches that go back several times."""
    WORDING = "wording"
    """Words in the place of the token."""


def _starts(models: Models) -> Named:
    for how in Initialisation:
        path = models.folder / "starts" / f"{how}.json"
        yield str(how), kept_cell(path, partial(starting.measure, models, how))


MEASURES: Mapping[Part, Callable[[Models], Named]] = {
    Part.START: _starts,
    Part.BIAS: strength.biased,
    Part.BUDGET: strength.budgeted,
    Part.FORCING: strength.forced,
    Part.SEARCH: strength.searched,
    Part.WORDING: strength.worded,
}


def main(  # noqa: PLR0917 - options of a command
    out: Annotated[Path, typer.Option(help="Folder for data, models, cells, tables and plots.")],
    seeds: Annotated[int, typer.Option(help="Seeds 0 to this, exclusive.")] = 3,
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed (repeat it).")] = None,
    part: Annotated[list[Part] | None, typer.Option(help="Only this part (repeat it).")] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a pretrained model that all begin with.", show_default="one from scratch"
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small and short: does everything run?")] = False,
) -> None:
    """Run what is missing, then write and print the tables of all that is there."""
    scale = QUICK if quick else FULL if model is None else PRETRAINED
    chosen = list(range(seeds)) if seed is None else seed
    Models(out, scale, 0, model).plain_tokenizer()  # refuses a model that has the tokens
    keep_scale(out, scale, {"model": None if model is None else str(model)})
    for one in chosen:
        models = Models(out, scale, one, model)
        for asked in part or list(Part):
            kept_cell(_path(models, asked), partial(_measured, models, asked))
            Console(stderr=True).print(f"seed {one}: {asked}", highlight=False)
    report(out)


def report(out: Path) -> None:
    """Write and print the tables and plots of all cells in a folder."""
    cells = list(_kept(out))
    for name, table in tables.TABLES.items():
        report_table(table(cells), name, out)
    for name, plot in tables.plots(cells):
        report_plot(plot, name, out)
    write_whole(out / "tables" / "cells.json", json.dumps(list(map(tables.compact, cells))) + "\n")


def _path(models: Models, part: Part) -> Path:
    return models.folder / "cells" / f"{part}.json"


def _measured(models: Models, part: Part) -> dict[str, Any]:
    of = {"seed": models.seed, "part": str(part)}
    return {name: of | {"name": name} | told for name, told in MEASURES[part](models)}


def _kept(out: Path) -> Iterator[dict[str, Any]]:
    """The cells of all seeds, in the order of parts."""
    for part in Part:
        for path in sorted(out.glob(f"seed-*/cells/{part}.json")):
            yield from json.loads(path.read_text(encoding="utf-8")).values()


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
