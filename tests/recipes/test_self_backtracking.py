"""The Self-Backtracking recipe: its stages run, go on where they were, and its figures are those by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from halluc_plugin.data.trace_files import TraceRow, read_traces
from halluc_plugin.own_errors.corrections import Collected
from halluc_plugin.problem_sets.raw_traces import Edit
from halluc_plugin.recipes.lab import tabulating
from halluc_plugin.recipes.lab.plotting import draw
from halluc_plugin.recipes.self_backtracking import (
    answering,
    bench,
    corrections,
    expert,
    plots,
    run,
    tables,
)
from halluc_plugin.recipes.self_backtracking.bench import Bench, paper_traces
from halluc_plugin.recipes.self_backtracking.contexts import first_errors, held_out
from halluc_plugin.recipes.self_backtracking.scale import QUICK, Models
from halluc_plugin.recipes.self_backtracking.searching import area_under_roc
from halluc_plugin.sampling.driver import Cost, Found
from halluc_plugin.sampling.states import Response
from halluc_plugin.scratch.model import Size
from halluc_plugin.tasks.countdown.problems import Split, generate
from halluc_plugin.tasks.countdown.traces import TraceSettings, TraceWriter

# As quick as it gets: nothing is learned, everything is run.
FEW = Models(Size.TINY, steps=2, largest_operand=10, train=60)
FEWER = {"pool": 8, "test": 6, "tune_steps": 2, "rounds": 2, "answers": 2, "most_k": 1}
SMOKE = replace(QUICK, main=FEW, small=FEW, samples=(1, 2), mix_samples=(2,), **FEWER)


@pytest.fixture(autouse=True)
def _short_answers(monkeypatch):
    """Models that have learned nothing never end: most of the time would go into their endless answers."""
    for module in (answering, bench):
        monkeypatch.setattr(module, "MAX_TOKENS", 8)


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


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["search", "masking", "mixes", "emission", "likelihood", "transfer"])
def test_a_stage_runs_and_is_not_run_again(invoke, out, stage):
    """It leaves a table and a plot; a second start makes those alone anew, from the cells."""
    pytest.importorskip("peft")
    invoke(stage)
    results = {out / "tables" / f"{stage}.md", out / "plots" / f"{stage}.png"}
    assert all(file.stat().st_size > 100 for file in results)
    assert invoke(stage) == results


@pytest.fixture
def pool(out, monkeypatch):
    """Right answers to the pool's problems instead of sampled ones, which such models never are."""
    bench = Bench(out, SMOKE, 0)
    writer = TraceWriter(bench.tokenizer, bench.vocab, bench.settings, TraceSettings())
    rng = np.random.default_rng(0)
    asked, drawn = bench.asked(bench.pool), list(bench._pool_problems())
    right = [tuple(writer.clean(problem)) for problem in drawn]
    taken_back = [writer.backtracking(problem, rng).ids for problem in drawn]

    def search(_bench, _model, problems, _make):
        assert problems == asked
        return [Found([Response(ids, (0.0,) * len(ids))] * 2, Cost()) for ids in right]

    def collect(problems, _sampler, _space, _tokenizer, settings):
        assert problems == asked
        corrected = right if settings.marker else taken_back
        rows = [
            [TraceRow(list(p.prompt), list(ids)) for p, ids in zip(problems, answers, strict=True)]
            for answers in (right, corrected)
        ]
        return [Collected([r], [c], 2, 1) for r, c in zip(*rows, strict=True)]

    monkeypatch.setattr(expert, "search", search)
    monkeypatch.setattr(corrections, "collect", collect)
    return len(drawn)


@pytest.mark.slow
def test_expert_iteration_collects_right_answers_once(invoke, out, pool):
    """Each round keeps the distinct right answer of every pool problem; every arm has its banned twin."""
    invoke("expert")
    cells = [json.loads(path.read_text()) for path in sorted((out / "cells" / "5-expert").iterdir())]
    assert {c["name"]: c["collected"] for c in cells} == {
        "start": 0,
        "base": 0,
        **{f"{arm} {number}": pool for arm in ("accumulate", "restart", *expert.ERRING) for number in (1, 2)},
        **{f"supervised only {number}": 0 for number in (1, 2)},
    }
    assert {c["wrong"] for c in cells} == {0}
    assert all(set(c["searches"]) == {"greedy", "greedy, banned", "b=1 N=8", "N=8, banned"} for c in cells)
    assert invoke("expert") == {out / "tables" / "expert.md", out / "plots" / "expert.png"}


@pytest.mark.parametrize(("share", "kept"), [(0.0, 1), (1.0, 2)])
def test_a_judge_that_errs_lets_wrong_answers_in(tmp_path, monkeypatch, share, kept):
    """Of a right and a wrong answer to each problem of the pool both pass, and the wrong ones are counted."""
    bench = Bench(tmp_path, SMOKE, 0)
    writer = TraceWriter(bench.tokenizer, bench.vocab, bench.settings, TraceSettings())
    right = [tuple(writer.clean(problem)) for problem in bench._pool_problems()]
    wrong = (*bench.tokenizer.encode("1 + 1 = 2\n"), bench.tokenizer.eos_token_id)

    def search(*_):
        answers = [(ids, wrong) for ids in right]
        return [Found([Response(ids, (0.0,) * len(ids)) for ids in pair], Cost()) for pair in answers]

    monkeypatch.setattr(expert, "load", lambda folder: None)
    monkeypatch.setattr(expert, "search", search)
    path = expert._collect(bench, tmp_path, "any", share)
    found = expert._collected(bench, path)
    assert found == {"collected": kept * len(right), "wrong": (kept - 1) * len(right)}


def test_a_round_that_finds_nothing_trains_on_nothing(tmp_path, monkeypatch):
    """Where no answer of the pool is right expert iteration goes on: nothing is kept, restart is its base."""
    bench = Bench(tmp_path, SMOKE, 0)
    monkeypatch.setattr(expert, "load", lambda folder: None)
    monkeypatch.setattr(expert, "search", lambda *_: [Found([], Cost()) for _ in bench.asked(bench.pool)])
    monkeypatch.setattr(expert, "clean_model", lambda bench: tmp_path / "base")
    assert expert._collect(bench, tmp_path, "restart-1") is None
    assert expert._train(bench, expert.RESTART, 1, tmp_path / "start", []) == tmp_path / "base"


def test_corrections_are_learned_by_token_and_in_words(invoke, out, pool):
    """What corrects itself by the token is measured with it banned, too, and has its edits judged."""
    invoke("corrections")
    cells = [json.loads(path.read_text()) for path in sorted((out / "cells" / "7-corrections").iterdir())]
    by_token = {"wrong to right, from the error", "wrong to right, whole answer"}
    assert {c["name"] for c in cells if "edits" in c} == by_token
    assert {c["name"] for c in cells if c["name"].endswith("banned")} == {f"{n}, banned" for n in by_token}
    assert all(rows == [pool, pool] for c in cells for rows in c["rows"].values())
    bench = Bench(out, SMOKE, 0)
    retried, right = (
        [
            row.response_ids
            for row in read_traces(bench.folder / "data" / f"error-{what}.parquet", bench.tokenizer)
        ]
        for what in ("retried", "right")
    )
    assert retried == right
    assert invoke("corrections") == {out / "tables" / "corrections.md", out / "plots" / "corrections.png"}


def test_area_under_roc_by_hand():
    """Three pairs of four are in order; one tie is half a pair; without pairs there is no area."""
    right = np.array([True, False, True, False])
    assert area_under_roc(np.array([4.0, 3.0, 2.0, 1.0]), right) == 0.75
    assert area_under_roc(np.array([4.0, 2.0, 2.0, 1.0]), right) == 0.875
    assert np.isnan(area_under_roc(np.array([1.0, 2.0]), np.array([True, True])))


def test_a_search_without_answers_has_no_tenths(tmp_path):
    """The table leaves the share open where no seed found an answer, and the plot has no place for it."""
    nothing = {"answers": 0, "correlation": math.nan, "auc": math.nan, "auc_within": math.nan, "deciles": []}
    tenths = [{"score": -1.0, "right": 0.25}, {"score": -0.5, "right": 0.75}]
    found = {"answers": 2, "correlation": 0.5, "auc": 1.0, "auc_within": 1.0, "deciles": tenths}
    cells = [
        {"name": "none", **nothing},
        {"name": "some", **found},
        {"name": "some", **nothing},
    ]
    table = tables.likelihood(cells)
    assert [list(column.cells) for column in table.columns[-2:]] == [["nan %", "75.0 %"], ["nan %", "25.0 %"]]
    plot = plots.likelihood(cells[:2])
    assert [list(line.values.values()) for line in plot.lines] == [[], [[25.0], [75.0]]]
    draw(plot, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 100


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
