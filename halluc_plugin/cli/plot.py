"""The command ``halluc plot``, which draws the curves of training runs."""

from pathlib import Path
from typing import Annotated

import typer

from halluc_plugin.cli.help import RESULTS, examples


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "plot",
        rich_help_panel=RESULTS,
        epilog=examples(
            "halluc plot checkpoints/halluc/halluc_grpo",
            "halluc plot checkpoints/halluc/a checkpoints/halluc/b --out both.png",
        ),
    )(plot)


def plot(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Folders of runs: checkpoints/PROJECT/EXPERIMENT."),
    ],
    out: Annotated[
        Path, typer.Option(help="The figure; its ending says the format: .svg, .png or .pdf.")
    ] = Path("curves.svg"),
) -> None:
    """Draw what runs logged over their steps: accuracy, D, edits, precision, tokens, rewards, signs."""
    from dataclasses import replace

    from halluc_plugin.run_metrics import read_run
    from halluc_plugin.run_plots import draw_runs

    found = [read_run(place) for place in runs]
    names = [run.name for run in found]
    if len(set(names)) < len(names):  # seeds of one experiment in folders of their own, for example
        found = [replace(run, name=str(place)) for run, place in zip(found, runs, strict=True)]
    draw_runs(found, out)
    typer.echo(f"{len(found)} run{'s' * (len(found) > 1)} drawn: {out}")
