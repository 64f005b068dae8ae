"""How far a command is, told to whoever asked."""

import pytest

from halluc_plugin import progress
from halluc_plugin.progress import ASKED, Progress, parsed, tell
from halluc_plugin.progress_bar import show_progress


@pytest.fixture
def told(monkeypatch, capsys):
    """Whoever asks; returns what has been told."""
    monkeypatch.setenv(ASKED, "plain")
    monkeypatch.setattr(progress, "_told", {})
    return lambda: [parsed(line) for line in capsys.readouterr().err.splitlines()]


def test_begin_and_end_of_a_phase_are_always_told(told, monkeypatch):
    """What is between them is told four times a second."""
    clock = iter([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    for done in range(6):
        tell("steps", done, 5)
    assert told() == [Progress("steps", done, 5) for done in (0, 3, 5)]


def test_a_line_of_a_ray_worker_is_read(told):
    """It begins with the worker's name in colour."""
    line = '\x1b[36m(TaskRunner pid=7)\x1b[0m halluc-progress {"phase": "steps", "done": 1, "total": null}\n'
    assert parsed(line) == Progress("steps", 1, None)


@pytest.mark.parametrize("line", ["halluc: progress", "halluc-progress ", 'halluc-progress {"x": 2}'])
def test_other_lines_tell_nothing(line):
    """What only looks alike is left to the log."""
    assert parsed(line) is None


def test_what_is_passed_on_is_told(told):
    """The bar of a preparation is that of the command that watches; the items are the same."""
    assert list(show_progress("abc", "letters", 3)) == ["a", "b", "c"]
    lines = told()
    assert (lines[0], lines[-1]) == (Progress("letters", 0, 3), Progress("letters", 3, 3))


def test_nobody_is_told_nothing(monkeypatch, capsys):
    """Without the variable there is no line, and a report is printed as it is."""
    monkeypatch.delenv(ASKED, raising=False)
    tell("steps", 0, 5)
    with progress.report():
        print("plain")  # noqa: T201 - what is tested
    assert capsys.readouterr() == ("plain\n", "")
