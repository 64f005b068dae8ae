"""Find the commands of adapters to a host, by the entry points of this distribution."""

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import typer

GROUP = "halluc.commands"
"""Entry points: the name is the command's, the value ``module:register``, a function of the application."""


def commands() -> Iterator[tuple[str, Callable[[typer.Typer], None]]]:
    """Yield the name of each command with the function that adds it.

    A command that cannot be found is reported and left out.
    """
    for name, value in own_entry_points(GROUP):
        module, _, function = value.partition(":")
        try:
            yield name, getattr(import_module(module), function)
        except (ImportError, AttributeError) as error:
            sys.stderr.write(
                f"halluc: the command {name} is not there ({error}). "
                "Fix: `pip install --force-reinstall halluc`.\n"
            )


def own_entry_points(group: str) -> Iterator[tuple[str, str]]:
    """Yield name and value of this distribution's entry points.

    They are read from the file that every installer writes, as ``importlib.metadata`` does: importing that
    module would take a tenth of the time of ``halluc --help``.

    Args:
        group: Name of the group of entry points.
    """
    inside = False
    for line in _entry_points_file():
        text = line.strip()
        if text.startswith("["):
            inside = text == f"[{group}]"
        elif inside and "=" in text:
            name, _, value = text.partition("=")
            yield name.strip(), value.strip()


def _entry_points_file() -> list[str]:
    """The lines of the first file on the path; none if halluc's code is not installed."""
    for folder in sys.path:
        for file in Path(folder).glob("halluc-*.dist-info/entry_points.txt"):
            return file.read_text(encoding="utf-8").splitlines()
    return []
