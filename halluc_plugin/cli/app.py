"""The command ``halluc``, which gathers all commands and turns halluc's errors into one clear line."""

import io
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer

from halluc_plugin import __version__
from halluc_plugin.cli import adapters
from halluc_plugin.cli.application import Application
from halluc_plugin.cli.help import examples
from halluc_plugin.errors import HallucError, is_disk_full

# Each module has `register(app)`; its heavy imports happen inside the command, so `--help` stays quick.
COMMAND_MODULES = (
    "doctor", "model", "add_token", "data", "train", "quiet", "assess", "probe", "search", "theory", "view",
    "plot",
)  # fmt: skip

EXIT_CODES = (
    "Exit codes: 0 when all is done; 1 when something failed that nobody foresaw, a reader of the output "
    "went away, or halluc doctor has a red line; 2 when a message says what to change, such as a wrong "
    "option; 130 when interrupted. halluc quiet ends with the code of its command."
)
"""The exit codes of every command, as :func:`run` gives them."""
TRACEBACK = "HALLUC_TRACEBACK"
"""Environment variable that asks for the traceback of an error."""
MAKE_ROOM = "Fix: Make room and start the same command again; one that writes in parts goes on from there."
"""What a user can do about a full disk."""
SYNONYMS = {"apply-chat-template-kwargs": "template-kwargs"}
"""Names of options that users know from verl, and the shorter ones that fit help of 80 columns."""


def _known(token: str) -> str:
    return SYNONYMS.get(token, token)


app = Application(
    name="halluc",
    help="Train language models to take back their mistakes.\n\n" + EXIT_CODES,
    epilog=examples("halluc doctor", "halluc data countdown --out DATA", "halluc train --help"),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": _known},
)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"halluc {__version__}")
        raise typer.Exit


# Help lists them in this order; an adapter's command cannot replace one of these.
for _name in COMMAND_MODULES:
    import_module(f"halluc_plugin.cli.{_name}").register(app)
for _name, _register in adapters.commands():
    if _name not in COMMAND_MODULES:
        _register(app)


def main() -> None:
    """Run the command line; this is the entry point of the console script."""
    run(app)


def run(command: Callable[[], object]) -> None:
    """Run a command as a process does: in any encoding, with errors in one line, and :data:`EXIT_CODES`.

    Args:
        command: The function to run; typer itself ends the process for a wrong option.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Not every terminal can write every sign, and no sign is worth an error.
            stream.reconfigure(errors="replace")
    try:
        command()
    except HallucError as error:
        _stop(error, f"halluc: {error}", 2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - whatever it is, a user gets a line
        told = " ".join(str(error).split()) or "no reason"
        if is_disk_full(error):
            _stop(error, f"halluc: {told}. {MAKE_ROOM}", 2)
        what = told if isinstance(error, OSError) else f"{type(error).__name__}: {told}"
        _stop(error, f"halluc: {what} (Set HALLUC_TRACEBACK=1 to see where.)", 1)


def _stop(error: Exception, message: str, code: int) -> None:
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    sys.stderr.write(message + "\n")  # typer would write UTF-8 to a terminal that knows ASCII
    sys.exit(code)
