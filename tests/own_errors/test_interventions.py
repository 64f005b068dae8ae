"""Single-step interventions of InT: the right part of a wrong answer, and one right step."""

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.trace_files import TraceRow, read_traces
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.own_errors.interventions import Interventions
from halluc_plugin.sampling.problems import PosedProblem, read_problems
from halluc_plugin.sampling.states import End, Sample
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.tokens.loading import save_tokenizer
from halluc_plugin.verifiers import Outcome


def flat(steps):
    """The ids of steps."""
    return tuple(token for step in steps for token in step)


class Script:
    """Gives samples in order, and keeps the requests."""

    def __init__(self, *samples):
        self.left, self.asked = list(samples), []

    def sample(self, requests):
        """The next ones; what ends with EOS ended so, anything else with a step."""
        self.asked += requests
        return [self.left.pop(0) for _ in requests]


def told(ids, eos, mean=-0.5):
    """A sample."""
    return Sample(tuple(ids), (mean,) * len(ids), End.EOS if ids[-1] == eos else End.STEP)


def test_a_right_step_stands_where_the_error_stood(chains):
    """Behind the right lines of the wrong answer comes the likeliest of the right proposals, and no more."""
    problem = chains.problem(3)
    right, wrong = chains.answer(problem), chains.answer(problem, {2})
    script = Script(
        told(flat(wrong), chains.eos), told(flat(right), chains.eos),
        told(wrong[1], chains.eos, -0.1), told(right[1], chains.eos, -0.9),
    )  # fmt: skip
    rows, tally = Interventions(script, chains.space, chains.tokenizer, 2, 4, 0)(0, [problem])
    assert rows == [TraceRow(list(problem.prompt), list(flat(right[:2]))).columns()]
    assert [request.prefix for request in script.asked[2:]] == [(*problem.prompt, *right[0])] * 2
    assert (tally["answers"], tally["wrong"], tally["interventions"]) == (2, 1, 1)


def test_the_last_step_is_an_intervention_with_its_end(chains):
    """What ends the answer must make it right."""
    problem = chains.problem(2)
    right, wrong = chains.answer(problem), chains.answer(problem, {2})
    script = Script(told(flat(wrong), chains.eos), told(right[1], chains.eos))
    rows, _ = Interventions(script, chains.space, chains.tokenizer, 1, 4, 0)(0, [problem])
    assert [row["response_ids"] for row in rows] == [list(flat(right))]


def test_equal_beginnings_are_mended_once_and_the_most_are_kept(chains):
    """Two answers that go wrong behind the same lines are one."""
    problem = chains.problem(3)
    right, wrong, other = chains.answer(problem), chains.answer(problem, {2}), chains.answer(problem, {1})
    answers = (told(flat(each), chains.eos) for each in (wrong, chains.answer(problem, {2, 3}), other))
    steps = [told(right[1], chains.eos)] * 3 + [told(right[0], chains.eos)] * 3
    make = Interventions(Script(*answers, *steps), chains.space, chains.tokenizer, 3, 1, 0)
    rows, tally = make(0, [problem])
    assert (len(rows), tally["wrong"]) == (1, 3)


class OnlyAnswers:
    """Judges no prefixes."""

    def verify(self, problem, answer):
        """Wrong."""
        return Outcome.WRONG


def test_what_finds_no_error_is_refused(chains):
    """A verifier of answers alone, and no answers at all."""
    make = Interventions(Script(), chains.space, chains.tokenizer, 1, 1, 0)
    with pytest.raises(DataError, match="judges no prefixes"):
        make(0, [PosedProblem((1,), {}, OnlyAnswers(), "x")])
    with pytest.raises(SettingsError, match="0 answers to a problem"):
        Interventions(Script(), chains.space, chains.tokenizer, 0, 1, 0)


def test_the_command_writes_traces_to_fine_tune_on(chains, tmp_path, monkeypatch):
    """Of a policy that errs in some of its lines; one that knows nothing gives no file."""
    model, out = tmp_path / "model", tmp_path / "steps.parquet"
    new_model(chains.tokenizer, Size.TINY, seed=0).save_pretrained(model)
    save_tokenizer(chains.tokenizer, model)
    words = ["chain", "--out", tmp_path, "--train", 12, "--test", 2, "--tokenizer", model]
    assert CliRunner().invoke(app, ["data", *map(str, words)]).exit_code == 0
    problems = read_problems(tmp_path / "chain" / "train.parquet", chains.tokenizer)

    class Lines:
        """The policy's answers, or their first line where one step is asked for."""

        def __init__(self):
            self.policy = chains.policy(problems, 0.7)

        def sample(self, requests):
            found = self.policy.sample(requests)
            return [self._cut(s, r) for s, r in zip(found, requests, strict=True)]

        def _cut(self, sample, request):
            if chains.new_line not in request.stop_ids:
                return sample
            at = sample.ids.index(chains.new_line) + 1
            at += sample.ids[at : at + 1] == (chains.eos,)
            return told(sample.ids[:at], chains.eos)

    given = ["--data", tmp_path / "chain" / "train.parquet", "--model", model, "--out", out]
    command = ["data", "interventions", *map(str, given)]
    done = CliRunner().invoke(app, [*command, "--samples", "2", "--max-tokens", "4"])
    assert "No wrong answer had a right step" in str(done.exception)
    assert not out.exists()
    monkeypatch.setattr("halluc_plugin.cli.data_interventions.open_engine", lambda *_: Lines())
    done = CliRunner().invoke(app, [*command, "--samples", "4"])
    assert done.exit_code == 0, done.output
    rows = read_traces(out, chains.tokenizer)
    assert len(rows) >= 6
    by_prompt = {problem.prompt: problem for problem in problems}
    for row in rows:
        problem = by_prompt[tuple(row.prompt_ids)]
        text = chains.tokenizer.decode(row.response_ids, skip_special_tokens=True)
        assert problem.verifier.prefix_ok(problem.truth, text)
