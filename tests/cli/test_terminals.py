"""What the command shows fits the terminal: narrow ones, without colour, with completion; and quiet."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from halluc_plugin.cli.app import EXIT_CODES, app
from halluc_plugin.cli.tables import Table
from tests.cli.command_tree import COMMANDS, OPTIONS, shown

ROOT = Path(__file__).parents[2]
HALLUC = [
    sys.executable, "-c", "import sys; sys.argv[0] = 'halluc'; from halluc_plugin.cli.app import main; main()"
]  # fmt: skip
COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[0-9;]*m")


def run(*arguments, **environment):
    """The command in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [*HALLUC, *arguments], env=env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("columns", [40, 60, 77])
@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_in_a_narrow_terminal(path, columns):
    """Nothing is cut off, and lines that can be broken are not longer than the terminal is wide."""
    text = shown(path, columns)
    assert "…" not in text
    for inner in getattr(COMMANDS[path], "commands", {}).values():
        assert re.sub(r"\s", "", inner.get_short_help_str()) in re.sub(r"\s", "", text)
    body = re.split(r"\n +Examples?:\n", text)[0]
    for line in body.splitlines():
        assert len(line) <= columns or len(line.split()) <= 2, line


@pytest.mark.parametrize(("path", "option"), OPTIONS)
def test_options_in_a_narrow_terminal(path, option):
    """Each stands at the beginning of a line, and its help is there word for word."""
    text = shown(path, 40)
    assert re.sub(r"\s", "", option.help) in re.sub(r"\s", "", text)
    if option.param_type_name == "option":
        assert re.search(rf"^  .*{option.opts[0]}\b", text, re.MULTILINE)


def test_examples_in_a_narrow_terminal():
    """They keep their lines, so that they can be pasted."""
    wide, narrow = (shown(("search",), columns).split("Examples:")[1].splitlines() for columns in (80, 40))
    assert [line.strip() for line in wide if line.strip()] == [line.strip() for line in narrow if line]


@pytest.mark.parametrize("columns", [20, 100])
def test_a_table_loses_nothing(columns):
    """Where it does not fit, each cell has a line of its own with its heading."""
    table = Table("model", "right", "tokens", numbers=("right",), title="Both", caption="of two")
    table.add_row("a-model-of-size", "94.1 %", "1234567")
    table.add_row("b", "3.0 %")
    console = Console(width=columns, record=True, file=io.StringIO())
    console.print(table)
    text = console.export_text()
    for word in ("Both", "of two", "a-model-of-size", "94.1 %", "1234567", "3.0 %"):
        assert word in text
    assert ("  tokens: 1234567" in text.splitlines()) == (columns == 20)


@pytest.mark.parametrize("arguments", [("data", "dag", "--help"), ("data", "nonsense")], ids=" ".join)
def test_no_colour(arguments):
    """`NO_COLOR` takes the colours from help and from errors, even where they are asked for."""
    asked = run(*arguments, FORCE_COLOR="1")
    without = run(*arguments, FORCE_COLOR="1", NO_COLOR="1")
    assert COLOUR.search(asked.stdout + asked.stderr)
    assert not COLOUR.search(without.stdout + without.stderr)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("data c", {"chain", "countdown", "correct"}),
        ("data su", {"sudoku"}),
        ("data dag --err", {"--error-rate"}),
        ("data dag --pairing ", {"paired", "single"}),
        ("theory re", {"recovery", "regret"}),
        ("search --method l", {"lats"}),
    ],
)
def test_completion(typed, offered):
    """A shell completes names of tasks and studies, options, and choices."""
    place = str(len(typed.split(" ")))
    done = run(_HALLUC_COMPLETE="complete_bash", COMP_WORDS=f"halluc {typed}", COMP_CWORD=place)
    assert set(done.stdout.split()) == offered


def test_exit_codes_are_told():
    """Help says them, and so does the page on the command line, word for word."""
    told = " ".join(shown(()).split())
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    codes = re.findall(r"\b\d+\b", EXIT_CODES)
    assert codes == ["0", "1", "2", "130"]
    assert EXIT_CODES in told
    assert re.findall(r"^\| `(\d+)` \|", page, re.MULTILINE) == codes


def test_quiet_hides_no_result(tmp_path):
    """`--quiet` leaves the tables of a command whose result is a table, and no word on files."""
    pytest.importorskip("matplotlib")
    asked = ["theory", "recovery", "--samples", "20", "--out", str(tmp_path)]
    loud, quiet = (CliRunner().invoke(app, [*asked, *more], catch_exceptions=False) for more in ([], ["-q"]))
    assert "Error-recovery law" in quiet.stdout
    assert "Figures and their numbers" in loud.stdout
    assert "Figures and their numbers" not in quiet.stdout
    assert quiet.stderr == ""


def test_quiet_asks_libraries_to_be_quiet(monkeypatch, tmp_path):
    """The bars with which transformers loads weights are off, too."""
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "0")
    CliRunner().invoke(app, ["data", "chain", "--out", str(tmp_path), "--train", "4", "--test", "2", "-q"])
    assert os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1"
