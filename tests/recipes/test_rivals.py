"""The comparison of rivals: what a budget pays for, by hand, and the experiment, which is not run again."""

import json

import pytest
from typer.testing import CliRunner

from halluc_plugin.recipes.prm_backtracking.tasks import Task
from halluc_plugin.recipes.rivals import run, tables
from halluc_plugin.recipes.rivals.answering import CLEAN, MAJORITY, Drawn, affordable
from halluc_plugin.recipes.rivals.models import Arm, Models
from halluc_plugin.recipes.rivals.scale import FULL, QUICK
from halluc_plugin.sampling.states import Response

ANSWER = Response((5, 0))


def test_a_budget_cuts_its_last_sample_off():
    """Of samples of 4 tokens a budget of 10 pays for two and a half; of 8 for two, of 3 for none."""
    drawn = [Drawn(ANSWER, 4)] * 4
    assert affordable(drawn, 10) == [Drawn(ANSWER, 4)] * 2 + [Drawn(None, 2)]
    assert affordable(drawn, 8) == [Drawn(ANSWER, 4)] * 2
    assert affordable(drawn, 3) == [Drawn(None, 3)]


def cell(arm, *correct, seed=0):
    """A cell of one seed."""
    at = {"correct": list(correct), "tokens": 3.0, "samples": 1.0}
    spent = {"sampled": 0.0, "trained": 1e6}
    return {"task": "chain", "seed": seed, "arm": arm, "spent": spent, "budgets": {"1": at, "4": at}}


def test_differences_are_paired_with_the_clean_majority():
    """Two of four are right, and none: 50 points; the majority has none to itself."""
    cells = [cell(MAJORITY, 0, 0, 0, 0), cell("other", 1, 1, 0, 0)]
    (effect,) = tables.effects(cells)
    assert (effect.label, effect.value) == ("chain: other", 50.0)
    assert effect.low < 50 < effect.high
    assert tables.budgets(cells).row_count == 4
    assert tables.spent(cells).row_count == 2


def test_only_seeds_that_both_have_are_paired():
    """Each seed has problems of its own: without a common one there is no difference."""
    apart = [cell(MAJORITY, 1, 1), cell("other", 0, 0, seed=1)]
    assert tables.effects(apart) == []
    (effect,) = tables.effects([*apart, cell("other", 0, 1)])
    assert effect.value == -50.0


def test_all_arms_begin_with_one_policy(tmp_path):
    """Those of other experiments, too; stages share the trained tokens."""
    models = Models(tmp_path, FULL, Task.CHAIN, 1)
    others = (models.revising, models.scoring)
    assert {each.folder for each in others} == {models.folder}
    assert {each.lessons.folder for each in others} == {models.lessons.folder}
    tokenizers = [each.tokenizer.get_vocab() for each in (models, *others)]
    assert tokenizers[0] == tokenizers[1] == tokenizers[2]
    tokens = FULL.tokens[Task.CHAIN]
    assert 2 * models.revising.scale.tokens == models.scoring.scale.tokens == tokens


@pytest.mark.slow
def test_the_experiment_runs_and_is_not_run_again(tmp_path):
    """It leaves tables and plots; a second start makes those alone anew, from the cells."""
    app = run.typer.Typer()
    app.command()(run.main)

    def invoke():
        before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
        args = ["--out", str(tmp_path), "--seeds", "1", "--task", "chain", "--quick"]
        assert CliRunner().invoke(app, args, catch_exceptions=False).exit_code == 0
        return {f for f in tmp_path.rglob("*") if f.is_file() and before.get(f) != f.stat().st_mtime_ns}

    invoke()
    cells = {each["arm"]: each for each in json.loads((tmp_path / "tables" / "cells.json").read_text())}
    assert set(cells) == {*CLEAN, *map(str, set(Arm.of(Task.CHAIN)) - {Arm.CLEAN})}
    for each in cells.values():
        assert list(each["budgets"]) == list(map(str, QUICK.budgets))
        for budget, at in each["budgets"].items():
            assert len(at["correct"]) == QUICK.asked[Task.CHAIN]
            assert at["tokens"] <= int(budget) * Models(tmp_path, QUICK, Task.CHAIN, 0).longest
        assert each["spent"]["trained"] > 0
    assert (tmp_path / "plots" / "forest.png").exists()
    told = (tmp_path / "tables" / "forgetting.md").read_text()
    assert {str(arm) for arm in Arm if f" {arm} " in told} == set(map(str, run.REMEMBERING))
    made = {*(tmp_path / "tables").iterdir(), *(tmp_path / "plots").iterdir()}
    assert invoke() <= made
