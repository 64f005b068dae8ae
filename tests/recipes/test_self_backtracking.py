"""The Self-Backtracking recipe: its stages run, go on where they were, and its figures are those by hand."""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from halluc_plugin.data.countdown import Split, generate
from halluc_plugin.data.countdown_traces import TraceWriter
from halluc_plugin.data.raw_traces import Edit
from halluc_plugin.recipes import tabulating
from halluc_plugin.recipes.self_backtracking import run, tables
from halluc_plugin.recipes.self_backtracking.bench import Bench, paper_traces
from halluc_plugin.recipes.self_backtracking.contexts import first_errors, held_out
from halluc_plugin.recipes.self_backtracking.scale import QUICK, Models
from halluc_plugin.recipes.self_backtracking.searching import area_under_roc
from halluc_plugin.scratch.model import Size

# As quick as it gets: nothing is learned, everything is run.
FEW = Models(Size.TINY, steps=2, largest_operand=10, train=60)
FEWER = {"pool": 8, "test": 6, "tune_steps": 2, "answers": 2, "most_k": 1}
SMOKE = replace(QUICK, main=FEW, small=FEW, samples=(1, 2), mix_samples=(2,), **FEWER)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The experiment's folder, which stages share."""
    return tmp_path_factory.mktemp("self_backtracking")


@pytest.fixture
def invoke(out, monkeypatch):
    """Runs a stage in a process of its own, so to speak; returns what was made anew."""
    monkeypatch.setattr(run, "QUICK", SMOKE)
    app = run.typer.Typer()
    app.command()(run.main)

    def invoked(stage):
        before = {file: file.stat().st_mtime_ns for file in out.rglob("*") if file.is_file()}
        args = [stage, "--out", str(out), "--seeds", "1", "--quick"]
        result = CliRunner().invoke(app, args, catch_exceptions=False)
        assert result.exit_code == 0
        return {f for f in out.rglob("*") if f.is_file() and before.get(f) != f.stat().st_mtime_ns}

    return invoked


@pytest.mark.parametrize("stage", ["search", "masking", "mixes", "emission", "likelihood", "transfer"])
def test_a_stage_runs_and_is_not_run_again(invoke, out, stage):
    """It leaves a table and a plot; a second start makes those alone anew, from the cells."""
    pytest.importorskip("peft")
    invoke(stage)
    results = {out / "tables" / f"{stage}.md", out / "plots" / f"{stage}.png"}
    assert all(file.stat().st_size > 100 for file in results)
    assert invoke(stage) == results


def test_area_under_roc_by_hand():
    """Three pairs of four are in order; one tie is half a pair; without pairs there is no area."""
    right = np.array([True, False, True, False])
    assert area_under_roc(np.array([4.0, 3.0, 2.0, 1.0]), right) == 0.75
    assert area_under_roc(np.array([4.0, 2.0, 2.0, 1.0]), right) == 0.875
    assert np.isnan(area_under_roc(np.array([1.0, 2.0]), np.array([True, True])))


def test_places_and_errors(tmp_path):
    """Wrong contexts end with the error, right ones with a right step; errors follow right text."""
    bench = Bench(tmp_path, SMOKE, 0)
    drawn = generate(bench.settings, Split.TEST_SEEN, SMOKE.test)
    prompts = [problem.prompt for problem in bench.asked(bench.clean.test[0])]
    writer = TraceWriter(bench.tokenizer, bench.vocab, bench.settings, paper_traces())
    places = held_out(bench, drawn, prompts, writer, Edit.STEP)
    answers = {prompt: writer.clean(problem) for prompt, problem in zip(prompts, drawn, strict=True)}

    def follows(context, prompt):
        done = context[len(prompt) :]
        return context[: len(prompt)] == prompt and answers[prompt][: len(done)] == done

    newline = bench.tokenizer.encode("\n")[0]
    assert len(places.right) == 2 * SMOKE.test  # two steps an answer
    for context in places.right:
        assert context[-1] == newline
        assert any(follows(context, prompt) for prompt in prompts)
    wrong = [context for contexts in places.wrong.values() for context in contexts]
    assert len(wrong) == SMOKE.test
    assert not any(follows(context, prompt) for context in wrong for prompt in prompts)
    for context, error in first_errors(bench, drawn, prompts, writer, seed=0):
        prompt = next(p for p in prompts if context[: len(p)] == p)
        done = context[len(prompt) :]
        assert answers[prompt][: len(done)] == done
        assert answers[prompt][len(done) : len(done) + len(error)] != error


def test_table_cells_by_hand():
    """Pooled shares with their intervals, the seeds, and paired differences in points."""
    group = [{"a": {"correct": [1, 1, 0, 0]}, "b": {"correct": [1, 0, 0, 0]}} for _ in range(2)]
    assert tabulating.accuracy(group, "a").startswith("50.0 [21.5, 78.5]")  # Wilson, 4 of 8
    assert tabulating.by_seed(group, "b") == "25.0, 25.0"
    assert tabulating.difference(group, ("a",), group, ("b",)).startswith("+25.0 [")
    cell = {"x": {"places": 10, "emitted": 5, "probability": 0.25}}
    assert tables.emission_rate([cell, cell], "x") == "50.0 [29.9, 70.1]; p 0.25"  # Wilson, 10 of 20
