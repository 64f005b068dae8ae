"""Search tasks from problems to figures: traces are written, trained on, searched with and measured."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.edits import Context
from halluc_plugin.jobs.phases import PhaseJob, measure

WORD = ("word", "--blanks", "2", "--length", "5", "--notice", "at-once")
CASES = {
    "blanks, by step": (*WORD, "--memory", "none"),
    "blanks, by restart": (
        "word",
        "--blanks",
        "2",
        "--length",
        "5",
        "--back",
        "restart",
        "--edit",
        "restart",
    ),
    "sat": ("sat", "--smallest", "4", "--largest", "5", "--longest", "6", "--back", "step"),
    "sudoku": ("sudoku", "--memory", "none", "--notice", "at-once"),
}


@pytest.fixture
def run(monkeypatch):
    """The command line, in this process."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def command(*arguments):
        done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return command


@pytest.mark.parametrize("case", CASES)
def test_from_problems_to_figures(run, tmp_path, case):
    """Traces that take back steps, or all, are learned in the context they are for, and searched with."""
    task, *options = CASES[case]
    context = Context.HARD if "none" in options else Context.SOFT
    run("data", task, "--out", tmp_path, "--train", 16, "--test", 3, *options)
    folder, model = tmp_path / task, tmp_path / "model"
    shares = ("--erased-tokens", "weight", "--erased-share", 0.25, "--decision-share", 0.3)
    data = ("--data", folder / "traces.parquet")
    run("warmstart", *data, "--out", model, "--steps", 1, "--context", context, *shares)
    run(
        "train",
        "--model",
        model,
        *data,
        "--out",
        tmp_path / "on",
        "--steps",
        1,
        "--context",
        context,
        *shares,
    )

    answers = tmp_path / "answers.jsonl"
    asked = ("--data", folder / "test.parquet", "--max-tokens", 24, "--out", answers)
    run("search", "--model", tmp_path / "on", *asked, "-k", 2, "-b", 2, "--tabu", "first")
    assert [json.loads(line)["row"] for line in Path(answers).read_text().splitlines()] == [0, 1, 2]
    phase = measure(
        tmp_path / "on", PhaseJob(folder / "test.parquet", 3, max_tokens=24, context=context)
    ).phase
    assert phase.n == 3
    assert phase.accuracy_banned is not None
