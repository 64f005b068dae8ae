"""The command ``halluc theory``: closed forms of backtracking compared with simulations."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halluc_plugin.cli.data_options import Quiet
from halluc_plugin.cli.data_output import progress_unless
from halluc_plugin.cli.help import MEASURES, examples
from halluc_plugin.cli.tables import Table

if TYPE_CHECKING:
    from halluc_plugin.theory.study import Study


NAMES = ("recovery", "regret", "final-errors", "mod10", "search")
"""The names of the studies, repeated here because their module imports numpy, for which help must not
wait."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "theory",
        rich_help_panel=MEASURES,
        epilog=examples("halluc theory", "halluc theory recovery regret --out figures"),
    )(theory)


def theory(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help=f"Studies: {', '.join(NAMES)}.",
            show_default="all",
            autocompletion=lambda: list(NAMES),
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for NAME.png and NAME.json.")] = Path("outputs/theory"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of every simulation.")] = 0,
    samples: Annotated[int, typer.Option(min=1, help="Runs of each simulation.")] = 10_000,
    quiet: Quiet = False,
) -> None:
    """Compare the theory's closed forms with simulations and draw them."""
    import numpy as np
    from rich.console import Console

    from halluc_plugin.atomic_files import make_folder, write_whole
    from halluc_plugin.theory.figures import draw
    from halluc_plugin.theory.studies import STUDIES

    chosen = _known(names or list(STUDIES), list(STUDIES))
    make_folder(out)
    console = Console()
    for name in progress_unless(quiet)(chosen, "studies", len(chosen)):
        # A generator of its own for each study: its numbers do not depend on which others run.
        study = STUDIES[name](samples, np.random.default_rng(seed))
        draw(study, out / f"{name}.png")
        record = json.dumps(study.record(seed=seed, samples=samples), indent=1)
        write_whole(out / f"{name}.json", record + "\n")
        console.print(_table(study))
    if not quiet:
        typer.echo(f"Figures and their numbers: {out}")


def _known(names: list[str], known: list[str]) -> list[str]:
    from difflib import get_close_matches

    from halluc_plugin.errors import SettingsError

    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]}? " if close else ""
            raise SettingsError(f"There is no study {name!r}.", f"{hint}Pass one of {', '.join(known)}.")
    return list(dict.fromkeys(names))


def _table(study: "Study") -> Table:
    inside = sum(c.inside for c in study.comparisons)
    caption = f"{inside} of {len(study.comparisons)} intervals hold the exact value; 95 % are expected to."
    numbers = ("closed form", "simulation", "95 % interval", "inside")
    shown = Table("quantity", *numbers, numbers=numbers, title=study.title, caption=caption)
    for c in study.comparisons:
        interval = f"{c.simulated.low:.4g} to {c.simulated.high:.4g}"
        values = (f"{c.exact:.4g}", f"{c.simulated.value:.4g}", interval, "yes" if c.inside else "no")
        shown.add_row(c.quantity, *values)
    return shown
