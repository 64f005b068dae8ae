"""What help says next to the options, and what is said of options that have changed or mean nothing."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import typer

NEW_LINE = "a new line"
"""How a default of ``\\n`` is shown."""

WIDTH = 70
"""Columns of an example: what is left of 80 behind the margins and before a backslash."""

SETUP, TRAINING, MEASURES, RESULTS = (
    "Set up", "Make data and train", "Measure and search", "Look at results",
)  # fmt: skip
"""Panels of commands."""

ValueT = TypeVar("ValueT")


def examples(*commands: str) -> str:
    """The end of a command's help.

    Args:
        *commands: Command lines; a long one is folded before its options, so that it can still be pasted.
    """
    title = "Examples:" if len(commands) > 1 else "Example:"
    return "\n".join((title, "", *(_folded(command) for command in commands)))


def _folded(command: str) -> str:
    lines = [""]
    for piece in re.split(r" (?=--)", command):
        joined = f"{lines[-1]} {piece}".strip()
        if len(joined) > WIDTH and lines[-1]:
            lines.append(piece)
        else:
            lines[-1] = joined
    return " \\\n    ".join(lines)


def refuse(given: Mapping[str, Any], where: str, fix: str) -> None:
    """Refuse options that would change nothing.

    Args:
        given: Values of options by their names in code; None for what was not given.
        where: Next to what, such as "with --traces".
        fix: What to do.

    Raises:
        SettingsError: One was given.
    """
    from halluc_plugin.errors import SettingsError

    for name, value in given.items():
        if value is not None:
            raise SettingsError(f"--{name.replace('_', '-')} means nothing {where}.", fix)


def renamed(old: str, given: ValueT | None, new: str, value: ValueT) -> ValueT:
    """The value of an option that may still be given under its old name, with a warning then.

    Args:
        old: The old name.
        given: What was given under it; None for nothing.
        new: The new name.
        value: What was given under the new one, or its default.
    """
    if given is None:
        return value
    typer.echo(f"halluc: {old} is {new} now; the old name goes with the next release.", err=True)
    return given
