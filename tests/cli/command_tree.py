"""The tree of commands, for tests that walk it."""

import shlex
from functools import cache

import pytest
import typer.main
from typer.testing import CliRunner

from halluc_plugin.cli.app import app


def commands(command, path=()):
    """All commands below one, groups included, by the words that call them; those of tasks whole."""
    yield path, getattr(command, "whole", command)
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))
LEAVES = [path for path, command in COMMANDS.items() if not hasattr(command, "commands")]
OPTIONS = [
    pytest.param(path, option, id=" ".join((*path, option.name)))
    for path, command in COMMANDS.items()
    for option in command.params
    if not option.hidden and "completion" not in option.name and option.name != "help"
]


@cache
def shown(path, columns=80):
    """The help of a command as a terminal shows it."""
    done = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, [*path, "--help"])
    assert done.exit_code == 0
    return done.output


def words(command):
    """The words of a command line, and its path among the commands."""
    program, *found = shlex.split(command, comments=True)
    assert program == "halluc"
    path = ()
    while found and (*path, found[0]) in COMMANDS:
        path = (*path, found.pop(0))
    return path, found


def parses(command):
    """Whether click reads a command line; nothing is run."""
    path, arguments = words(command)
    if arguments in (["--help"], ["--version"], ["--install-completion"], ["--show-completion"]):
        return path in COMMANDS
    COMMANDS[path].make_context("halluc", arguments).close()
    return path in LEAVES
