"""The parts of help next to the options, and messages on options that have changed or have no effect."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import typer

NEW_LINE = "a new line"
"""How a default of ``\\n`` is shown."""

WIDTH = 70
"""Width of an example in columns: what is left of 80 without margins and a backslash."""

SETUP, TRAINING, MEASURES, RESULTS = (
    "Set up", "Make data and train", "Measure and search", "Look at results",
)  # fmt: skip
"""The panels in which help groups the commands."""

ValueT = TypeVar("ValueT")


def examples(*commands: str) -> str:
    """Return the text at the end of a command's help.

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
    """Refuse options that would have no effect.

    Args:
        given: Values of the options by their names in code; None for an option that was not given.
        where: The context in words, such as "with --traces".
        fix: What the user should do.

    Raises:
        SettingsError: One of the options was given.
    """
    from halluc_plugin.errors import SettingsError

    for name, value in given.items():
        if value is not None:
            raise SettingsError(f"--{name.replace('_', '-')} means nothing {where}.", fix)


def renamed(old: str, given: ValueT | None, new: str, value: ValueT) -> ValueT:
    """Return the value of an option that may still be given under its old name, with a warning.

    Args:
        old: The old name.
        given: The value given under the old name; None for none.
        new: The new name.
        value: The value given under the new name, or its default.
    """
    if given is None:
        return value
    typer.echo(
        f"halluc: {old} is {new} now; its value, {given}, is taken. The old name goes with the next release.",
        err=True,
    )
    return given
