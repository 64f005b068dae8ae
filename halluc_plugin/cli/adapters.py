"""Commands that adapters to a host bring along: the entry points of our own distribution."""

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import typer

GROUP = "halluc.commands"
"""Entry points: the name is the command's, the value ``module:register``, a function of the application."""


def commands() -> Iterator[tuple[str, Callable[[typer.Typer], None]]]:
    """Each command with what adds it; one that is not to be found is told and left out."""
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
    """Name and value of our distribution's entry points.

    Read here from the file that every installer writes: ``importlib.metadata`` reads the same, and importing
    it would take a tenth of what ``halluc --help`` takes.

    Args:
        group: Which of them.
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
    """The lines of the first one on the path; none where our code is not installed."""
    for folder in sys.path:
        for file in Path(folder).glob("halluc-*.dist-info/entry_points.txt"):
            return file.read_text(encoding="utf-8").splitlines()
    return []
