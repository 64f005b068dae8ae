"""The ``halluc`` command: gathers the commands and turns our errors into one clear line."""

import sys
from importlib import import_module
from typing import Annotated

import typer

from halluc_plugin import __version__
from halluc_plugin.cli.help import examples
from halluc_plugin.errors import HallucError

# Each module has `register(app)`; its heavy imports happen inside the command, so `--help` stays quick.
COMMAND_MODULES = ("add_token", "data", "doctor", "lm_eval_path", "search", "theory", "train", "view")

app = typer.Typer(
    name="halluc",
    help="Train language models to take back their mistakes.",
    epilog=examples("halluc doctor", "halluc data countdown --out DATA", "halluc train --help"),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"halluc {__version__}")
        raise typer.Exit


for _name in COMMAND_MODULES:
    import_module(f"halluc_plugin.cli.{_name}").register(app)


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except HallucError as error:
        typer.echo(f"halluc: {error}", err=True)
        sys.exit(2)
