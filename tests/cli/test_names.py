"""One idea has one name in all commands, and names that have changed go on to work."""

import json
import re

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from tests.cli.command_tree import COMMANDS, LEAVES, OPTIONS, shown

SHOWN = [param.values for param in OPTIONS]
QUICK = {
    ("doctor",): "its lines are the result, and come one by one",
    ("lm-eval-path",): "it prints one line",
    ("plot",): "it takes seconds",
    ("quiet",): "it is quiet",
}
"""Leaves that have nothing to be quiet about."""


def plain(text):
    """A help without what it says of one command alone."""
    return re.sub(r"\(.*?\)|, with --[\w-]+( \w+)?|[.]", "", text).strip().lower()


def test_one_idea_has_one_name():
    """No two options have one help and different names."""
    names = {}
    for _, option in SHOWN:
        if option.param_type_name == "option":
            names.setdefault(plain(option.help), set()).add(option.opts[0])
    assert {text: found for text, found in names.items() if len(found) > 1} == {}


def test_a_short_name_stands_for_one_long_one():
    """`-k` is `--samples` wherever it is anything."""
    long = {}
    for _, option in SHOWN:
        for short in (name for name in option.opts if not name.startswith("--")):
            if option.param_type_name == "option":
                long.setdefault(short, set()).add(next(n for n in option.opts if n.startswith("--")))
    assert long == {"-k": {"--samples"}, "-b": {"--rounds"}, "-q": {"--quiet"}}


def test_error_rates_are_spelled_one_way():
    """The rate of errors is `--error-rate`; the other rate is that of learning."""
    rates = {option.opts[0] for _, option in SHOWN if "rate" in option.opts[0].split("-")}
    assert rates == {"--error-rate", "--learning-rate"}


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_commands_can_be_quiet(path):
    """Each that shows progress or tells of files takes `--quiet`."""
    names = {name for option in COMMANDS[path].params for name in option.opts}
    assert ("--quiet" in names) != (path in QUICK)


@pytest.mark.parametrize("path", [path for path in LEAVES if "--limit " in shown(path)], ids=" ".join)
def test_a_limit_leaves_something(path):
    """`--limit 0` is refused by every command, before anything is read."""
    done = CliRunner().invoke(app, [*path, "--limit", "0"])
    assert done.exit_code == 2
    assert "'--limit'" in done.output


@pytest.mark.parametrize("old", ["--rate", "--retry-rate"])
def test_an_old_name_works_with_one_warning(tmp_path, old):
    """`--error-rate` under its old names: the same files, and a word on standard error."""
    small = ["--train", "20", "--test", "5"]
    for folder, name in (("old", old), ("new", "--error-rate")):
        done = CliRunner().invoke(app, ["data", "dag", "--out", str(tmp_path / folder), name, "0.3", *small])
        assert done.exit_code == 0, done.output
        assert done.stderr.count(f"{old} is --error-rate now") == (folder == "old")
    old_file, new_file = (tmp_path / folder / "dag" / "traces.parquet" for folder in ("old", "new"))
    assert old_file.read_bytes() == new_file.read_bytes()


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        *((path, "--rate", "--error-rate") for path in LEAVES if "--error-rate" in shown(path)),
        (("data", "dag"), "--retry-rate", "--error-rate"),
        (("data", "values"), "-n", "--continuations"),
        (("search",), "-n", "--samples"),
        (("search",), "--rollouts", "--continuations"),
    ],
)
def test_old_names_are_hidden(path, old, new):
    """Each is read, says by its help what it is now, and is not listed."""
    (found,) = (option for option in COMMANDS[path].params if old in option.opts)
    assert found.hidden
    assert found.help == f"Old name of {new}."
    assert any(new in option.opts for option in COMMANDS[path].params)
    assert not re.search(rf"(^|\s){old}\b", shown(path), re.MULTILINE)


def test_of_an_old_name_and_the_new_one_the_message_says_which_counts(tmp_path):
    """Given both, the old name's value is taken, and the word on standard error names it."""
    asked = ["data", "dag", "--train", "4", "--test", "2", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, [*asked, "--rate", "0.3", "--error-rate", "0.2"])
    assert "--rate is --error-rate now; its value, 0.3, is taken." in done.stderr
    card = json.loads((tmp_path / "dag" / "card.json").read_text(encoding="utf-8"))
    assert "0.3" in json.dumps(card)
    assert "0.2" not in json.dumps(card)
