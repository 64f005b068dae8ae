"""OpenReview hJ2BCYGvFg: the didactic task in tokens, and the experiment on learned models, part by part."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from halluc_plugin.metrics import DecoderShape
from halluc_plugin.metrics.step_values import ScoredResponse
from halluc_plugin.problem_sets.steps import StepSplit, generate
from halluc_plugin.recipes.prm_backtracking import run, tables
from halluc_plugin.recipes.prm_backtracking.answers import First, Outcomes
from halluc_plugin.recipes.prm_backtracking.didactic import (
    ARMS,
    Counting,
    law,
    plot,
    run_stage,
    table,
    tokens_until_right,
)
from halluc_plugin.recipes.prm_backtracking.figures import revision_text
from halluc_plugin.recipes.prm_backtracking.lessons import Lessons
from halluc_plugin.recipes.prm_backtracking.meters import Meter, ranked_points, revision_points
from halluc_plugin.recipes.prm_backtracking.models import Diet
from halluc_plugin.recipes.prm_backtracking.quality import quality_of
from halluc_plugin.recipes.prm_backtracking.scale import QUICK
from halluc_plugin.recipes.prm_backtracking.searching import REVISED
from halluc_plugin.recipes.prm_backtracking.tasks import Problems, Task
from halluc_plugin.sampling.states import End, Request, Response, Sample
from halluc_plugin.search.guided import RatedResponse
from halluc_plugin.search.revision import Revision
from halluc_plugin.theory.mod10 import Mod10, Retry

TASK = Counting(hard=2, p=0.4)


@pytest.mark.parametrize("arm", ["min-advantage, progress", "first"])
def test_tokens_are_those_of_the_theory(arm):
    """Whole suffixes from the first wrong digit; or whole answers until one is right, L p^-K."""
    tokens = np.array(tokens_until_right(TASK, ARMS[arm], 2000, seed=0))
    assert abs(tokens.mean() - law(arm, TASK)) < 4 * tokens.std() / np.sqrt(len(tokens))


def test_the_closed_forms_by_hand():
    """20 digits and EOS, hard ones at 6 and 16: 21 + 1.5 (15 + 5), and 21 / 0.16."""
    assert law("min-advantage, progress", TASK) == pytest.approx(51)
    assert law("first", TASK) == pytest.approx(131.25)
    assert law("min-advantage, final", TASK) is None


def test_by_final_values_alone_a_partial_repair_is_lost():
    """All wrong answers are worth 0 in the end: 80 tokens in place of 51, by hand.

    Of the first answers 0.6 err at 6, and then both digits must be right at once: 15 tokens, 1/0.16 times;
    0.24 err at 16 alone, 5 tokens each 1/0.4 times.
    """
    tokens = np.array(tokens_until_right(TASK, ARMS["min-advantage, final"], 2000, seed=0))
    expected = 21 + 0.6 * 15 / 0.16 + 0.24 * 5 / 0.4
    assert abs(tokens.mean() - expected) < 4 * tokens.std() / np.sqrt(len(tokens))


def test_the_papers_setting():
    """Samples are linear in the errors, but tokens of whole suffixes are 300 times those of rewinding."""
    paper = Mod10()
    assert paper.expected_suffix_tokens(range(6, 1500, 10)) == pytest.approx(2_136_150)
    assert paper.expected_tokens(Retry.MEMORYLESS) == pytest.approx(7200)


def test_the_stage_is_tabled_and_drawn():
    """A row for each arm and for each closed form, a line for each arm."""
    cells = list(run_stage((1, 2), 0.5, 5, seed=0))
    made = table(cells, 0.5)
    assert [column.header for column in made.columns] == ["tokens until right", "K = 1", "K = 2"]
    assert made.row_count == len(ARMS) + 3
    assert [line.label for line in plot(cells).lines] == list(ARMS)


UNIT = DecoderShape(hidden=1, kv=0, intermediate=0, layers=1)
"""Two FLOPs a slot, and one for each position that it attends to."""
PROMPT = (7, 7)


def _answer(*ids):
    return RatedResponse(Response(ids), tuple((i,) for i in ids), (0.5,) * (len(ids) + 1), finished=True)


def _sampled(prefix, *ids):
    return Request(prefix, 9, 1.0, frozenset({0})), Sample(ids, (), End.EOS)


def test_what_revisions_took_is_counted_after_each():
    """Slots by hand: prompt 2, answer 3; then 2 and 1 behind a kept step; the scorer reads new ids alone."""
    first, better, other = _answer(3, 4, 0), _answer(3, 5, 0), _answer(3, 0)
    told = [Revision(first, 2, [better, other], better)]
    samples = [_sampled((*PROMPT, 3), 5, 0), _sampled((*PROMPT, 3), 0)]
    points = revision_points(
        Meter(PROMPT, UNIT, UNIT), first.response, told, samples,
        prompt=PROMPT, reading=None, right=lambda r: r == better.response, revisions=3,
    )  # fmt: skip
    assert [(p.right, p.tokens) for p in points] == [(False, 3), (True, 6), (True, 6), (True, 6)]
    # 5 slots attend to 15 positions; then those at 4 and 5, and at 4: 3 slots, 13 positions. Both models.
    assert [p.scorer_flops for p in points[:2]] == [10 + 15, 10 + 15 + 6 + 13]
    assert [p.flops for p in points[:2]] == [2 * 25, 2 * 44]


def test_a_scorer_of_turns_pays_for_the_turns_that_it_reads():
    """Behind the first answer, which it has read: two slots of a new answer, at 6 and 7."""
    first, better = _answer(3, 4, 0), _answer(5, 0)
    points = revision_points(
        Meter(PROMPT, UNIT, UNIT), first.response, [Revision(first, 1, [better], better)],
        [_sampled(PROMPT, 5, 0)], prompt=PROMPT, right=lambda _: True, revisions=1,
        reading=lambda turns: (*PROMPT, *(i for turn in turns for i in turn.response.ids)),
    )  # fmt: skip
    assert points[1].scorer_flops - points[0].scorer_flops == 2 * 2 + 6 + 7


def test_best_of_n_stops_where_it_is_good_enough():
    """Of scores 0.2, 0.9, 1.0 the second is enough, and nothing is sampled behind it."""
    answers = [Response((3, 0)), Response((4, 0)), None, Response((5, 0))]
    traces = [(3, 0), (4, 0), (6, 6), (5, 0)]
    points = ranked_points(
        Meter(PROMPT, UNIT, None), traces, answers, [0.2, 0.9, 0.0, 1.0],
        prompt=PROMPT, right=lambda r: r.ids == (4, 0), counts=(1, 2, 4), enough=0.9,
    )  # fmt: skip
    assert [(p.right, p.tokens) for p in points] == [(False, 2), (True, 4), (True, 4)]
    assert points[0].scorer_flops == 0


@pytest.mark.parametrize("task", Task)
def test_problems_have_steps_enough_and_fit(tmp_path, task):
    """Five steps or more, sixteen for chains; right answers fit; no problem is asked and trained on."""
    problems = Problems(task, 0, tmp_path)
    asked = problems.asked_set
    posed = problems.posed(StepSplit.TEST, 5)
    assert len(posed) == 5
    for drawn in generate(asked, StepSplit.TEST, 5):
        assert len(drawn.steps) >= (16 if task is Task.CHAIN else 5)
        length = len(problems.tokenizer.encode(drawn.answer)) + 1
        assert length <= problems.sizes.longest(task) <= length + 6
    trained = {p.prompt for p in problems.posed(StepSplit.TRAIN, 5)}
    assert trained.isdisjoint(p.prompt for p in posed)


def test_as_many_problems_are_posed_as_are_asked_for(tmp_path):
    """Whoever asked for fewer before changes nothing, and the fewer are the first of the more."""
    problems = Problems(Task.CHAIN, 0, tmp_path)
    few, many = (problems.posed(StepSplit.TRAIN, count) for count in (3, 7))
    assert (len(few), len(many)) == (3, 7)
    assert [p.prompt for p in many[:3]] == [p.prompt for p in few]


def test_the_oracle_of_outcomes(tmp_path):
    """A first answer has its known values; another is worth 1 in the end if it is right, and 0 before."""
    problems = Problems(Task.CHAIN, 0, tmp_path)
    (posed,) = problems.posed(StepSplit.TEST, 1)
    right = problems.tokenizer.encode(_reference(problems))
    wrong = (*right[:-6], *problems.tokenizer.encode("0+0=0\n"), problems.tokenizer.eos_token_id)
    values = tuple(np.linspace(1, 0, 17).tolist())
    first = First(
        posed, answer := Response(tuple(wrong)), answer, correct=False, values=values,
        rollout_tokens=0, rollout_flops=0,
    )  # fmt: skip
    lines = [tuple(right[at : at + 6]) for at in range(0, len(right), 6)]
    lines[-1] += (problems.tokenizer.eos_token_id,)
    oracle = Outcomes([first], problems.tokenizer)
    known = oracle.score([posed.prompt], [[*lines[:-1], tuple(wrong[-7:])]])
    assert known[0].tolist() == pytest.approx(values)
    assert oracle.score([posed.prompt], [lines])[0].tolist() == [0.0] * 16 + [1.0]


def _reference(problems):
    (drawn,) = generate(problems.asked_set, StepSplit.TEST, 1)
    return drawn.answer


def test_accuracy_at_a_budget_lies_on_the_line_between_checkpoints():
    """Halfway between 10 and 30 FLOPs it is halfway between 20 and 60 %, and behind the last it stays."""
    found = [[10, 1, 0.2], [30, 3, 0.6]]
    assert tables.at_flops(found, 20) == pytest.approx(0.4)
    assert tables.at_flops(found, 99) == pytest.approx(0.6)


def _searched(name, after="1100"):
    points = [
        {"correct": correct, "tokens": 5 * at, "flops": 10 * at, "scorer_flops": 0}
        for at, correct in enumerate(("0000", after), start=1)
    ]
    cell = {"task": "word", "seed": 0, "name": name, "all": points, "wrong": points}
    return cell | {"rollouts": {"all": [7, 20], "wrong": [7, 20]}}


def test_what_is_kept_of_the_oracles_gain():
    """It repairs two of four, the scorer one of four: half."""
    cells = [
        _searched("oracle, min-advantage"),
        _searched("learned, min-advantage", after="1000"),
        _searched("in-context, min-advantage", after="0000"),
    ]
    made = tables.kept(cells)
    assert list(made.columns[2].cells) == ["50.0", "50.0"]
    assert list(made.columns[4].cells) == ["50", "0"]


def test_rollouts_stand_on_one_axis_and_not_on_the_other():
    """10 FLOPs and 5 tokens at first, 20 and 7 more with the rollouts."""
    cell = _searched("oracle, min-advantage")
    assert tables.curve(cell, None, "wrong")[0] == [10, 5, 0.0]
    assert tables.curve(cell, None, "wrong", rollouts=True)[0] == [30, 12, 0.0]


def test_the_value_of_the_bare_prompt_stands_in_the_table_of_scorers():
    """Of two answers worth 0 and 1/2 before anything is written: an outcome reward model says 1/2 of both."""
    responses = [
        ScoredResponse(0, (0.5, 0.9), (0.0, 1.0), correct=True),
        ScoredResponse(1, (0.5, 0.1), (0.5, 0.0), correct=False),
    ]
    found = quality_of(responses, {"rows": 2, "steps": 1})
    assert found["prompt"] == {"value": 0.5, "oracle": 0.25, "mse": 0.125}
    cell = {"task": "word", "seed": 0, "name": "quality", "scorers": {str(Diet.OUTCOMES): found}}
    made = tables.scorers([cell])
    assert [list(made.columns[place].cells) for place in (1, -2, -1)] == [
        ["outcomes alone"], ["0.50, 0.25"], ["0.125"],
    ]  # fmt: skip


def test_what_is_kept_beside_results_is_short():
    """Answers become a count, each problem a digit, and figures have four digits that count."""
    first = {"name": "first", "answers": [{"correct": False}, {"correct": True}, {"correct": False}]}
    assert tables.compact(first) == {"name": "first", "wrong": 2}
    cell = {"scorers": {"a": {"right": {"correct": [1, 0]}, "mse": 0.123456}}, "flops": 123456.0}
    assert tables.compact(cell) == {
        "scorers": {"a": {"right": {"correct": "10"}, "mse": 0.1235}}, "flops": 123500.0,
    }  # fmt: skip


def test_a_revision_as_text_marks_what_was_written_anew():
    """Figure 9: from the revised step on lines have a mark."""
    drawn = {
        "prompt": "ab\n", "values": [[0.5, 0.6, 0.1], [0.5, 0.6, 0.9]],
        "steps": [["A\n", "B\n"], ["A\n", "C\n"]],
        "revised": [2], "oracle": [1.0, 1.0, 0.0],
    }  # fmt: skip
    text = revision_text([_searched("learned, min-advantage") | {"drawn": drawn}])
    assert "Q = 0.10   B" in text
    assert "After revision 1, from step 2 on (>):" in text
    assert "Q = 0.60   A\n    Q = 0.90 > C" in text


@pytest.mark.parametrize(
    ("least", "most", "given"),
    [(0.0, 1.0, [8]), (2.0, 1.0, [8, 6]), (0.0, -1.0, [1]), (2.0, -1.0, [1, 6])],
)
def test_a_policy_is_taught_until_it_is_right_sometimes(tmp_path, least, most, given):
    """Rounds of 3 steps while it is right too rarely, at most two; half of the steps while too often."""
    scale = replace(
        QUICK, lessons={Task.WORD: ((0, 2), (0, 8))}, least=least, most=most, rounds=2, round_steps=3,
        train=20, labelled=4,
    )  # fmt: skip
    lessons = Lessons(scale, Problems(Task.WORD, 0, tmp_path / "data", scale.sizes), tmp_path / "models")
    assert lessons.given == [(0, steps) for steps in [2, *given]]


@pytest.mark.slow
def test_the_experiment_runs_and_is_not_run_again(tmp_path):
    """Quick: all stages leave cells, tables and plots; a second start makes the reports alone anew."""
    app = run.typer.Typer()
    app.command()(run.main)

    def invoke():
        before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
        asked = ["--out", str(tmp_path), "--seed", "0", "--task", "chain", "--quick"]
        assert CliRunner().invoke(app, asked, catch_exceptions=False).exit_code == 0
        return {f for f in tmp_path.rglob("*") if f.is_file() and before.get(f) != f.stat().st_mtime_ns}

    assert len(invoke()) > 20
    names = {json.loads(path.read_text())["name"] for path in (tmp_path / "cells").glob("*.json")}
    assert names == {"first", "quality", "best-of-N", "token", *REVISED}
    again = invoke()
    assert {path.parent.name for path in again} == {"tables", "plots"}
    assert {path.stem for path in again} >= {
        "didactic",
        "revision",
        "cells",
        *tables.TABLES,
        "chain-figure6-oracle",
    }
