"""``halluc view``: which answers are shown, where."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.edits import EditVocab
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.trace_log import TraceLog, logged_trace


@pytest.fixture
def view(tmp_path):
    """Runs the command on two steps, of which the first has an answer with an edit and one without."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    ids = tokenizer.encode(f"3+8{BACKTRACK_TOKEN}3")

    def trace(name, step, response):
        return logged_trace(
            step=step, answer=name, prompt=ids[:1], response=response, response_mask=[1] * len(response),
            advantages=[0.5] * len(response), reward=1.0, scores={}, tokenizer=tokenizer,
            vocab=EditVocab(ids[3]),
        )  # fmt: skip

    log = TraceLog(tmp_path / "run", max_megabytes=1)
    log.write(7, [trace("edited", 7, ids), trace("plain", 7, ids[:3])])
    log.write(9, [replace(trace("plain", 9, ids[:3]))])
    return lambda *options: CliRunner().invoke(app, ["view", str(tmp_path / "run"), *map(str, options)])


def test_the_last_step_by_default(view):
    """Its answers."""
    assert "step 9, plain" in view().stdout
    assert "step 7" not in view().stdout


def test_a_chosen_step_and_a_limit(view):
    """The first answers of it."""
    assert "plain" in view("--step", 7).stdout
    assert "plain" not in view("--step", 7, "--limit", 1).stdout


def test_only_answers_with_edits(view):
    """Others are left out; where none is left, it says so."""
    assert "plain" not in view("--step", 7, "--edited").stdout
    assert "No answer of run takes anything back." in view("--edited").stdout


def test_a_page(view, tmp_path):
    """All steps by default, and how many answers they have."""
    assert "3 answers in" in view("--html", tmp_path / "page.html").stdout
    assert "1 answers in" in view("--html", tmp_path / "page.html", "--step", 9).stdout
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_record_that_was_cut_off(view, tmp_path):
    """It is left out, and how many were is said."""
    path = tmp_path / "run" / "traces" / "step-000009.jsonl"
    path.write_text(path.read_text() + '{"version": 1, "st')
    assert "1 cut off at its end" in view().stderr


def test_bad_input(view):
    """A step that was not logged."""
    assert "there are 2 steps, 7 to 9" in str(view("--step", 8).exception)


def test_names_of_several_sources_are_no_markup(view, tmp_path):
    """Brackets in the names of folders are printed as they are; rich would take them for a style's end."""
    view()
    run = tmp_path / "[" / "b]"
    run.parent.mkdir()
    (tmp_path / "run").rename(run)
    found = CliRunner().invoke(app, ["view", str(run), str(run)])
    assert found.exception is None
    assert all(name in found.stdout for name in ("[/b] (1)", "[/b] (2)"))
