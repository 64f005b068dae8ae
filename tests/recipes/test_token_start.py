"""The start and the strength of the token: answers, shares, curves by hand, and the experiment."""

import json
import math
from functools import cached_property
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.errors import SettingsError
from halluc_plugin.recipes.token_start import run, tables
from halluc_plugin.recipes.token_start.answering import Way, as_edits, ask
from halluc_plugin.recipes.token_start.models import Models, Wording
from halluc_plugin.recipes.token_start.scale import QUICK
from halluc_plugin.recipes.token_start.starting import start_probabilities, steps_to
from halluc_plugin.recipes.token_start.strength import of_search
from halluc_plugin.sampling.costs import Cost
from halluc_plugin.sampling.driver import Found
from halluc_plugin.sampling.states import End, Request, Response, Sample, Space
from halluc_plugin.scratch.model import Shape, new_model
from halluc_plugin.tokens import Initialisation, add_edit_tokens

NEWLINE = 259


class Scripted(Models):
    """A seed with a model that writes by position what a script says."""

    @cached_property
    def problem(self):
        """One problem."""
        return self.asked(1)

    @cached_property
    def wrong(self):
        """A line that begins with a wrong start."""
        (problem,) = self.problem.problems
        start = next(letter for letter in problem.truth["starts"] if letter != problem.answer[0])
        maps = problem.truth["maps"]
        word = "".join(
            [start] + [start := maps["abc".index(c)][ord(start) - 65] for c in problem.truth["word"]]
        )
        return self.ids(f"{word}{problem.truth['goal']}\n")

    @cached_property
    def right(self):
        """The right line."""
        return self.ids(self.problem.problems[0].answer)

    def ids(self, text):
        """The ids of a text."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    @property
    def eos(self):
        """The id that ends an answer."""
        return self.tokenizer.eos_token_id

    def network(self, script):
        """A model that likes the tokens of each place of a script best, the first of several most."""
        model = new_model(self.tokenizer, Shape(hidden=16, intermediate=16, layers=1, heads=2), seed=0).eval()
        (prompt,) = (len(problem.prompt) for problem in self.problem.posed)

        def forward(input_ids, position_ids, **_):
            logits = torch.full((*input_ids.shape, len(self.tokenizer)), -50.0)
            for row, positions in enumerate(position_ids.tolist()):
                for column, position in enumerate(positions):
                    liked = script[position - prompt + 1]
                    for place, token in enumerate(liked if isinstance(liked, tuple) else (liked,)):
                        logits[row, column, token] = 50.0 - 20 * place
            return SimpleNamespace(logits=logits)

        model.forward = forward
        return model


@pytest.fixture
def models(tmp_path):
    """A seed without trained models."""
    return Scripted(tmp_path, QUICK, 0)


def first(told):
    """What was told of the only answer."""
    return {name: values[0] for name, values in told.items() if name != "tries"}


def test_answers_and_edits_are_judged(models):
    """A wrong line is taken back, and the right one written: one event, right as it left a dead line."""
    step = models.vocab.step
    told = ask(models, models.network([*models.wrong, step, *models.right, models.eos]), models.problem)
    assert first(told) == {"correct": 1, "events": 1, "tokens": 20, "precision": [1, 1], "recall": [1, 1]}
    assert told["tries"] == [[2, 2]]
    again = ask(models, models.network([*models.wrong, step, *models.wrong, models.eos]), models.problem)
    assert first(again) == {"correct": 0, "events": 1, "tokens": 20, "precision": [1, 1], "recall": [1, 2]}
    assert again["tries"] == [[1, 2]]


def test_bias_and_budget_change_what_is_taken_back(models):
    """The token is liked better than the end by 20 nats: a bias of -30 lets the end win, or a budget of 0."""
    script = [*models.wrong, (models.vocab.step, models.eos), *models.right, models.eos]
    network = models.network(script)
    ways = [Way(bias=-10), Way(bias=-30), Way(budget=0), Way(budget=1)]
    found = [first(ask(models, network, models.problem, way)) for way in ways]
    assert [one["correct"] for one in found] == [1, 0, 0, 1]
    assert [one["recall"] for one in found] == [[1, 1], [0, 1], [0, 1], [1, 1]]


def test_an_end_that_is_held_back_makes_the_model_go_on(models):
    """It would end behind a wrong line: until an edit or a verifier's yes, the token comes instead."""
    step, eos = models.vocab.step, models.eos
    network = models.network([*models.wrong, (eos, step), *models.right, eos, eos])
    ways = [Way(), Way(edits=1), Way(checked=True), Way(edits=1, instead=(step,))]
    found = [first(ask(models, network, models.problem, way)) for way in ways]
    assert [(one["correct"], one["events"]) for one in found] == [(0, 0), (1, 1), (1, 1), (1, 1)]


def test_words_take_a_line_back_as_the_token_does(models):
    """A mark of the model, or one in the place of an end, is read as an edit; its tokens are counted."""
    mark, eos = models.mark(Wording.WEAK), models.eos
    assert len(mark) == 4
    own = ask(models, models.network([*models.wrong, *mark, *models.right, eos]), models.problem, Way(mark))
    assert first(own) == {"correct": 1, "events": 1, "tokens": 23, "precision": [1, 1], "recall": [1, 1]}
    network = models.network([*models.wrong, eos, eos, eos, eos, *models.right, eos])
    for way in (Way(mark, edits=1, instead=mark), Way(mark, checked=True, instead=mark)):
        assert first(ask(models, network, models.problem, way)) == first(own)
    assert first(ask(models, network, models.problem, Way(mark)))["correct"] == 0


def test_marks_are_read_whole(models):
    """A part of a mark is text; marks next to one another are edits each."""
    step, mark = models.vocab.step, (1, 2, 1)
    assert as_edits([5, 1, 2, 1, 1, 2, 1, 1, 2], mark, models.vocab).ids == [5, step, step, 1, 2]
    assert as_edits([5, 1, 2], (), models.vocab).ids == [5, 1, 2]


def test_probabilities_before_training_by_hand(models):
    """Behind a newline the step token has the odds of 674 others, elsewhere all ids are alike."""
    count, step = len(models.tokenizer), models.vocab.step
    assert count == 675

    def network(ids):
        logits = torch.zeros(*ids.shape, count)
        logits[ids == NEWLINE, step] = math.log(674)
        return SimpleNamespace(logits=logits)

    network.device = torch.device("cpu")
    row = TraceRow([66, NEWLINE], [67, NEWLINE, step, 68, NEWLINE, models.eos])
    found = start_probabilities(network, [row], models.vocab)
    high, low = (674 + 1) / (674 + 674), 2 / 675
    assert found == pytest.approx({"edit": high, "step_end": high, "text": (high + 3 * low) / 4}, rel=1e-4)


@pytest.mark.parametrize(
    ("curve", "steps"),
    [
        ({"0": 0.1, "10": 0.3, "20": 0.7}, 15),
        ({"0": 0.6, "10": 0.2}, 0),
        ({"0": 0.1, "10": math.nan, "20": 0.9}, 10),
        ({"0": math.nan, "10": 0.5}, 10),
        ({"0": 0.1, "10": 0.4}, None),
        ({}, None),
    ],
)
def test_steps_to_half_by_hand(curve, steps):
    """Between two steps the recall grows evenly; without any before, the first step counts."""
    assert steps_to(curve) == (None if steps is None else pytest.approx(steps))


def test_searches_by_hand(models):
    """Two of three first steps from the empty answer differ; edits and ends are no part of them."""
    step, eos = models.vocab.step, models.eos
    space = Space(models.vocab, frozenset({eos}), models.vocab.step_delimiters, 24)
    prompt = models.problem.posed[0].prompt

    def sampled(ids, end):
        return Request(prompt, 24, 1.0, frozenset()), Sample(tuple(ids), (0.0,) * len(ids), end)

    samples = [
        sampled([*models.wrong, step], End.EDIT),
        sampled([*models.wrong, eos], End.EOS),
        sampled([*models.right, eos], End.EOS),
    ]
    ended = [Response((*line, eos), (0.0,) * 10) for line in (models.wrong, models.right)]
    told = of_search(Found(ended, Cost(), samples), models.problem.posed[0], space, models)
    assert told == {"right": True, "tokens": 30, "tries": [[2, 3]]}
    assert not of_search(Found(ended[:1], Cost(), samples), models.problem.posed[0], space, models)["right"]


def cell(name, part="budget", **more):
    """A cell of two answers."""
    told = {"correct": [1, 0], "events": [1, 4], "tokens": [10, 30], "precision": [[1, 1], [2, 4]]}
    told |= {"recall": [[1, 2], [0, 0]], "tries": [[2, 2], [3, 5]]}
    return {"seed": 0, "part": part, "name": name} | told | more


def column(table, number):
    """The texts of a column."""
    return list(table.columns[number].cells)


def test_tables_by_hand():
    """Shares are pooled over answers; states with three tries or more are those of two retries."""
    group = [cell("any")]
    assert (tables.share(group, "precision").value, tables.share(group, "precision").n) == (3 / 5, 5)
    assert tables.tokens(group) == "20.0"
    found = tables.events(group)
    assert column(found, 0) == ["0", "1", "2", "3 or more"]
    assert [text.split(" [")[0] for text in column(found, 1)] == ["0.0", "50.0", "0.0", "50.0"]
    assert [text.split(" [")[0] for text in column(found, 2)] == ["", "100.0", "", "0.0"]
    assert column(found, 3)[-1].startswith("60.0 [")
    start = {"edit": 0.01, "step_end": 0.02, "text": 0.0005}
    curve = {"0": {"recall": [[0, 4]]}, "10": {"recall": [[1, 1], [2, 3]]}}
    found = tables.starts([cell("mean", "start", start=start, curve=curve)])
    assert [column(found, number)[0] for number in range(1, 5)] == ["1", "2", "0.05", "7"]  # 0.5 / 0.75 of 10


def test_the_curve_over_the_bias_has_intervals():
    """At each bias the share of all seeds, and its interval around it."""
    ((_, plot),) = tables.plots([cell("+0", "bias"), cell("-1", "bias", correct=[1, 1])])
    right = plot.lines[0]
    assert right.values == {"+0": [50.0], "-1": [100.0]}
    low, high = right.intervals["+0"]
    assert low < 50 < high


def test_a_model_that_has_the_token_is_refused(tmp_path, models):
    """Its rows are not started anew."""
    tokenizer = models.plain_tokenizer()
    model = new_model(tokenizer, Shape(hidden=16, intermediate=16, layers=1, heads=2), seed=0)
    model.save_pretrained(tmp_path / "plain")
    tokenizer.save_pretrained(tmp_path / "plain")
    assert Models(tmp_path, QUICK, 0, tmp_path / "plain").vocab == models.vocab
    add_edit_tokens(model, tokenizer)
    tokenizer.save_pretrained(tmp_path / "plain")
    with pytest.raises(SettingsError, match="nothing can be said of its start"):
        Models(tmp_path, QUICK, 0, tmp_path / "plain").plain_tokenizer()


@pytest.mark.slow
def test_the_experiment_runs_and_is_not_run_again(tmp_path):
    """It leaves tables and plots; a second start makes those alone anew, from the cells."""
    app = run.typer.Typer()
    app.command()(run.main)

    def invoke():
        before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
        args = ["--out", str(tmp_path), "--seeds", "1", "--quick"]
        assert CliRunner().invoke(app, args, catch_exceptions=False).exit_code == 0
        return {f for f in tmp_path.rglob("*") if f.is_file() and before.get(f) != f.stat().st_mtime_ns}

    invoke()
    made = {*(tmp_path / "tables").iterdir(), *(tmp_path / "plots").iterdir()}
    assert {file.name for file in made} == {
        *(f"{name}.md" for name in tables.TABLES), "cells.json", "bias.png", "recall.png",
    }  # fmt: skip
    assert invoke() == made
    cells = json.loads((tmp_path / "tables" / "cells.json").read_text())
    assert [each["name"] for each in cells if each["part"] == "start"] == list(Initialisation)
    for each in cells:
        assert len(each["correct"]) == (QUICK.searched if each["part"] == "search" else QUICK.test)
    starts = [each for each in cells if each["part"] == "start"]
    assert [list(each["curve"]) for each in starts] == [["0", "2", "4"]] * len(starts)
