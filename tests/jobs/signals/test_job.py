"""``halluc probe signal`` on tiny policies: every signal, with and without the token."""

import json

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.edits import collapse
from halluc_plugin.errors import MetricError, SettingsError
from halluc_plugin.jobs.assess.steps import Cutter
from halluc_plugin.jobs.samplers import policy_space
from halluc_plugin.jobs.signals.asked import Signal, SignalJob
from halluc_plugin.jobs.signals.job import probe_signals
from halluc_plugin.jobs.signals.unsupervised import labelled_steps
from halluc_plugin.problem_sets.search_files import SearchData, SearchRequest
from halluc_plugin.problem_sets.search_trace_settings import SearchTraceSettings
from halluc_plugin.sampling.states import End, Sample
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import editing_tokenizer
from halluc_plugin.tasks.word.problems import WordProblems
from halluc_plugin.tokens.saving import save_model


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model that writes every token alike, and traces of right answers with problems."""
    tokenizer, folder = editing_tokenizer("step"), tmp_path_factory.mktemp("made")
    save_model(new_model(tokenizer, Size.TINY, seed=0), tokenizer, folder / "model")
    asked = SearchData(
        WordProblems(states=12, length=3),
        SearchRequest(train=4, test=8, traces=SearchTraceSettings(rate=0.8)),
    )
    return folder / "model", asked.write(folder, tokenizer, lambda items, what, total: items)


def test_labels_of_mind_are_made_from_right_answers(made):
    """A step that is the right answer's is none, another one is: one of each is written here."""
    model, files = made
    tokenizer = editing_tokenizer("step")
    space = policy_space(str(model), tokenizer, step_delimiter="\n", max_tokens=64, temperature=1.0)
    cutter = Cutter(tokenizer, space, "\n")
    rows = read_traces(files.traces, tokenizer)

    class Scripted:
        """The right answer's first step, then another one everywhere."""

        def sample(self, requests):
            """A sample for each, greedily and a step long."""
            assert {request.temperature for request in requests} == {0.0}
            text = collapse(rows[0].response_ids, space.vocab)
            right = text[: text.index(next(token for token in text if token in space.delimiters)) + 1]
            other = tokenizer.encode("?\n")
            return [Sample(tuple(ids), (), End.STEP) for ids in [right, *[other] * (len(requests) - 1)]]

    found = labelled_steps(Scripted(), rows, cutter)
    assert [label for _, _, label in found] == [False, *[True] * (len(found) - 1)]
    assert len(found) >= len(rows)


def test_one_kind_of_place_is_refused(made):
    """A random model's few tokens end no step, so that nothing is live: the counts are told."""
    model, files = made
    job = SignalJob(str(model), files.problems("test"), (Signal.LINEAR_HEAD,), limit=4, max_tokens=4)
    with pytest.raises(MetricError, match="one kind is missing"):
        probe_signals(job)


def test_a_layer_that_is_not_there_is_refused(made):
    """Before anything is sampled."""
    model, files = made
    with pytest.raises(SettingsError, match="Layer 40 is not there"):
        probe_signals(SignalJob(str(model), files.problems("test"), (Signal.LINEAR_HEAD,), layer=40))


def watched(module, monkeypatch):
    """The heads that are fitted, and the problems of fits and of each calibration, as they come."""
    fitted, calibrations, heads, fitted_on, calibrated_on = module.fitted, module.calibrations, [], set(), []

    def kept(signals, places, *more):
        found = fitted(signals, places, *more)
        heads.extend(found.values())
        fitted_on.update(place.problem for place in places)
        return found

    def noted(valued, false_alarm):
        calibrated_on.append({place.problem for place, _ in valued})
        return calibrations(valued, false_alarm)

    monkeypatch.setattr(module, "fitted", kept)
    monkeypatch.setattr(module, "calibrations", noted)
    return heads, fitted_on, calibrated_on


def test_the_command(made, tmp_path, monkeypatch):
    """A policy of steps of the task: all signals in one file, lead times, three parts of problems."""
    from halluc_plugin.jobs.signals import job as module

    model, files = made
    tokenizer = editing_tokenizer("step")

    class Guessing:
        """Takes the steps that the task allows by turns; where edits may be sampled it takes it back."""

        def __init__(self, network, space, *, seed):
            self._space, self._turn = space, seed

        def sample(self, requests):
            """A sample for each request."""
            return [self._one(request) for request in requests]

        def _one(self, request):
            problem = next(p for p in problems if request.prefix[: len(p.prompt)] == p.prompt)
            search = problem.verifier.search
            state, text = search.begin(problem.truth), ""
            for line in tokenizer.decode(request.prefix[len(problem.prompt) :]).splitlines():
                state = next(s.after for s in search.steps(state) if s.text == f"{line}\n")
            while steps := search.steps(state):
                self._turn += 1
                step = steps[self._turn % len(steps)]
                text, state = text + step.text, step.after
            ids = tokenizer.encode(text)
            if not self._space.edits_banned:
                return Sample((*ids, self._space.vocab.step), (), End.EDIT)
            return Sample((*ids, tokenizer.eos_token_id), (), End.EOS)

    problems = module.read_problems(files.problems("test"), tokenizer, None)
    monkeypatch.setattr(module, "HFSampler", Guessing)
    monkeypatch.setattr(module, "mind_head", lambda *_, **__: next(iter(heads)))
    heads, fitted_on, calibrated_on = watched(module, monkeypatch)
    out = tmp_path / "signals.json"
    done = CliRunner().invoke(
        app,
        [
            "probe", "signal", *Signal, "--model", str(model), "--data", str(files.problems("test")),
            "--references", str(files.traces), "--continuations", "2", "--samples", "4", "--max-tokens", "24",
            "--without", str(model), "--places", "2", "--out", str(out), "-q",
        ],
        catch_exceptions=False,
    )  # fmt: skip
    assert done.exit_code == 0
    assert "Does it tell before the token does?" in done.output
    first, second = json.loads(out.read_text())
    assert first["model"] == second["model"] == str(model)
    assert [each["signal"] for each in first["signals"]] == list(Signal)
    for each in first["signals"]:
        assert each["dead"]["positives"] > 0
        assert each["dead"]["n"] == sum(part["n"] for part in each["dead_by_depth"].values())
        continued = each["signal"] in {"eigenscore", "semantic-entropy"}
        assert (each["lead"] is None) == continued == (each["tokens"] is None)
        if not continued:
            assert each["lead"]["events"] == len(each["lead"]["leads"]) > 0
        assert each["steps_held_out"]["live"]["n"] == each["dead"]["n"] - each["dead"]["positives"]
        assert (each["tokens_held_out"] is None) == continued
    # Thresholds of fitted heads are not of problems that these were fitted on; other signals have no such.
    assert fitted_on == {0, 4}
    of_heads = {Signal.LINEAR_HEAD, Signal.TWO_LAYER_HEAD}
    expected = [{2, 6} if signal in of_heads else {0, 2, 4, 6} for signal in Signal]
    assert calibrated_on[: len(Signal)] == expected
    assert "What share of steps does it flag?" in done.output
