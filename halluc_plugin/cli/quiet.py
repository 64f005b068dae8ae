"""The command ``halluc quiet``, which runs a command and shows only bars and its report."""

import time
from pathlib import Path
from typing import Annotated

import typer

from halluc_plugin.cli.help import TRAINING, examples


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "quiet",
        rich_help_panel=TRAINING,
        epilog=examples(
            "halluc quiet python -m verl.trainer.main_ppo +recipe=halluc_grpo",
            "halluc quiet --log run.log python -m verl.trainer.sft_trainer +recipe=halluc_sft",
        ),
        context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
    )(quiet)


def quiet(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="As it is typed without this.")],
    log: Annotated[
        Path | None,
        typer.Option(help="File for all that it prints.", show_default="outputs/logs/TIME.log"),
    ] = None,
) -> None:
    """Run a training command with one bar for each phase; all that it prints goes to a log file."""
    from halluc_plugin.quiet import run_quietly

    log = log or Path("outputs", "logs", f"{time.strftime('%Y%m%d-%H%M%S')}.log")
    raise typer.Exit(run_quietly(command, log))
