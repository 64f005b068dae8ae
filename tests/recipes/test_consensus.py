"""The experiment on consensus: what budgets pay for, and the experiment, which is not run again."""

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from halluc_plugin.edits import EditVocab
from halluc_plugin.recipes.consensus import answering, run
from halluc_plugin.recipes.consensus.answering import Arm
from halluc_plugin.recipes.consensus.scale import QUICK
from halluc_plugin.sampling.states import End, Request, Sample, Space

SPACE = Space(EditVocab(backtrack=2), frozenset({0}), frozenset({1}), max_tokens=4)
MODELS = SimpleNamespace(scale=SimpleNamespace(copies=2), clean_space=SPACE)


def samples(*texts):
    """Whole samples, of which those that end with 0 are answers."""
    found = []
    for text in texts:
        ids = tuple(map(int, text))
        end = End.EOS if ids[-1] == 0 else End.LENGTH
        found.append((Request((9,), 4, 1.0, frozenset({0})), Sample(ids, (-1.0,) * len(ids), end)))
    return found


def answers(taken):
    """The answers as texts."""
    return ["".join(map(str, answer.ids)) for answer in taken.answers]


def test_a_budget_pays_whole_rounds_of_a_debate():
    """Rounds of 4, 6 and 4 tokens: 9 pay one, 10 two, 3 a sample and a half; who does not end keeps his."""
    drawn = samples("50", "60", "5533", "70", "80", "90")
    found = {most: answering._rounds(MODELS, drawn, most) for most in (3, 9, 10, 13, 99)}
    assert {most: answers(of) for most, of in found.items()} == {
        3: ["50"], 9: ["50", "60"], 10: ["50", "70"], 13: ["50", "70"], 99: ["80", "90"],
    }  # fmt: skip
    assert [of.tokens for of in found.values()] == [3, 4, 10, 10, 14]
    assert [len(of.samples) for of in found.values()] == [2, 2, 4, 4, 6]


def test_a_single_answer_takes_no_more():
    """However large the budget."""
    taken = answering._first(MODELS, Arm.ONE, samples("50", "60"), 99)
    assert (answers(taken), taken.tokens) == (["50"], 2)
    assert answers(answering._first(MODELS, Arm.MAJORITY, samples("50", "60"), 3)) == ["50"]


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
    assert list(cells) == list(map(str, Arm))
    for each in cells.values():
        assert list(each["budgets"]) == list(map(str, QUICK.budgets))
        for at in each["budgets"].values():
            assert len(at["correct"]) == QUICK.asked
            assert at["slots"] > at["tokens"] > 0
    plain, chosen, debated = (
        cells[arm]["budgets"]["7"]["slots"] for arm in (Arm.MAJORITY, Arm.UNIVERSAL, Arm.DEBATE)
    )
    assert plain < min(chosen, debated)
    reader, maca = (cells[arm]["spent"] for arm in (Arm.DEBATE, Arm.MACA))
    assert reader["trained"] < maca["trained"]
    made = {*(tmp_path / "tables").iterdir(), *(tmp_path / "plots").iterdir()}
    assert len(made) == 6
    told = (tmp_path / "tables" / "forgetting.md").read_text()
    assert told.index("reader") < told.index("MACA")
    assert invoke() <= made
