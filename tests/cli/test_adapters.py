"""Commands of adapters: found by the entry points of our own distribution, wherever it is installed."""

import sys
from importlib.metadata import distribution

import pytest
import typer

from halluc_plugin.cli import adapters


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Pretend that our distribution is installed with these lines in its entry points."""

    def pretend(*lines):
        folder = tmp_path / "halluc-0.0.dist-info"
        folder.mkdir()
        (folder / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(tmp_path)

    return pretend


def test_entry_points_are_those_of_the_metadata():
    """What is read by hand is what the standard library reads, group by group."""
    points = distribution("halluc").entry_points
    assert points.groups
    for group in points.groups:
        expected = {(point.name, point.value) for point in points.select(group=group)}
        assert set(adapters.own_entry_points(group)) == expected


def test_a_command_is_loaded(installed):
    """Name and function come from the file, of the one group that counts."""
    installed(
        "[other]",
        "lm = absent:register",
        "",
        "[halluc.commands]",
        "lm-eval-path=lm_eval_tasks.path_command:register",
    )
    (found,) = adapters.commands()
    application = typer.Typer()
    found[1](application)
    assert (found[0], [command.name for command in application.registered_commands]) == (
        "lm-eval-path",
        ["lm-eval-path"],
    )


def test_a_command_that_is_gone_breaks_no_other(installed, capsys):
    """One line says which and what to do, and the others are there."""
    installed(
        "[halluc.commands]", "old = absent_module:register", "doctor = halluc_plugin.cli.doctor:register"
    )
    assert [name for name, _ in adapters.commands()] == ["doctor"]
    assert capsys.readouterr().err == (
        "halluc: the command old is not there (No module named 'absent_module'). "
        "Fix: `pip install --force-reinstall halluc`.\n"
    )


def test_without_an_installation_there_are_none(tmp_path, monkeypatch):
    """Code that is only on the path has the commands of the core."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "absent")])
    assert list(adapters.commands()) == []
