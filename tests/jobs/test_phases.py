"""What a model is worth at one point of a run, and the report of both ends."""

import json

import pytest

from halluc_plugin.edits import Context
from halluc_plugin.errors import DataError
from halluc_plugin.jobs.phases import Phase, PhaseJob, ShippedPhase, measure, shipped_phase, write_report
from halluc_plugin.problem_sets.search_files import SearchData, SearchRequest
from halluc_plugin.run_metrics import RunMetrics
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import editing_tokenizer
from halluc_plugin.tasks.word.problems import WordProblems
from halluc_plugin.tokens.loading import load_model, load_tokenizer
from halluc_plugin.tokens.saving import save_model


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Word problems; the file of those that are held out."""
    asked = SearchData(WordProblems(length=2), SearchRequest(train=2, test=6))
    files = asked.write(tmp_path_factory.mktemp("data"), None, lambda items, what, total: items)
    return files.problems("test")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of models with random weights, with a step backtrack and without any edit."""
    made = {}
    for edit in ("step", None):
        folder, tokenizer = tmp_path_factory.mktemp("model"), editing_tokenizer(edit)
        save_model(new_model(tokenizer, Size.TINY, seed=0), tokenizer, folder)
        made[edit] = folder
    return made


@pytest.mark.parametrize("context", list(Context))
def test_a_model_is_asked_with_edits_and_without(data, models, context):
    """As many answers as problems, shares within [0, 1], lengths as sampled; the same for the same seed."""
    job = PhaseJob(data, 4, max_tokens=40, context=context)
    measured = measure(models["step"], job)
    phase = measured.phase
    assert (phase.n, phase.temperature) == (4, 1.0)
    assert 0 <= phase.accuracy <= 1
    assert phase.accuracy_banned is not None
    assert 0 < phase.tokens <= 40
    assert phase.accuracy == sum(measured.right) / 4
    assert phase.accuracy_banned == sum(measured.right_banned) / 4
    again = measure(models["step"], job)
    assert (again.phase, again.right, again.right_banned) == (phase, measured.right, measured.right_banned)


def test_edits_are_counted_and_can_be_banned(data, models, tmp_path):
    """A model of even chances edits now and then, and solves nothing."""
    tokenizer, model = load_tokenizer(str(models["step"])), load_model(str(models["step"]))
    model.lm_head.weight.data.zero_()
    save_model(model, tokenizer, tmp_path / "even")
    phase = measure(tmp_path / "even", PhaseJob(data, 6, max_tokens=400)).phase
    assert phase.backtracks > 0
    assert phase.accuracy == phase.accuracy_banned == 0


def test_a_model_without_edits_has_no_figures_of_them(data, models):
    """There is nothing to ban and nothing to tell apart."""
    measured = measure(models[None], PhaseJob(data, 4, max_tokens=20))
    assert measured.right_banned is measured.told is None
    phase = measured.phase
    assert phase.accuracy_banned is phase.p_edit_dead is phase.p_edit_live is None
    assert phase.backtracks == 0


TOLD = {
    "accuracy": 0.75, "accuracy_banned": 0.25, "p_edit_dead": 0.9, "p_edit_live": None,
    "backtracks": 1.5, "tokens": 40.0, "n": 200, "temperature": 1.0,
}  # fmt: skip


def test_the_report_is_json_beside_the_run(tmp_path):
    """Task, seed, seconds, and for each phase what was measured; what is not known is null."""
    path = write_report(tmp_path, task="word", seed=3, seconds=12.5, phases={"start": Phase(**TOLD)})
    assert path == tmp_path / "report.json"
    assert json.loads(path.read_text()) == {
        "task": "word",
        "seed": 3,
        "seconds": 12.5,
        "tokens_per_second": None,
        "peak_memory_gb": None,
        "phases": {"start": TOLD},
    }


def test_the_report_has_speed_memory_and_what_was_shipped(tmp_path):
    """Tokens over the seconds of all steps, the most memory of any step, and shipped figures marked so."""
    step = {"perf/total_num_tokens": 300.0, "perf/time_per_step": 2.0, "actor/perf/cpu_memory_used_gb": 3.0}
    last = {**step, "perf/time_per_step": 1.0, "actor/perf/cpu_memory_used_gb": 2.0}
    twin = ShippedPhase(Phase(**TOLD), "three seeds")
    path = write_report(
        tmp_path, task="word", seed=3, seconds=None, phases={"clean_twin": twin},
        metrics=RunMetrics("run", {1: step, 2: last}),
    )  # fmt: skip
    report = json.loads(path.read_text())
    assert report["tokens_per_second"] == 200.0
    assert report["peak_memory_gb"] == {"host": 3.0}
    assert report["phases"] == {"clean_twin": {**TOLD, "shipped": True, "source": "three seeds"}}


def test_d_is_the_difference_of_two_known_shares():
    """Not known where one of the two is not."""
    assert Phase(**{**TOLD, "p_edit_live": 0.2}).d == pytest.approx(0.7)
    assert Phase(**TOLD).d is None


def test_shipped_figures_are_those_of_the_same_problems(tmp_path):
    """The entry whose options the run has; none where no entry fits, or there is no file."""
    path, plain = tmp_path / "word_twin.json", {"accuracy": 0.3, "tokens": 9.0, "n": 5, "temperature": 1.0}
    assert shipped_phase(path, {}) is None
    entries = [{"options": {"length": n}, "source": f"of {n}", "phase": plain} for n in (6, 10)]
    path.write_text(json.dumps(entries))
    found = shipped_phase(path, {"length": 10, "memory": "none"})
    assert found == ShippedPhase(Phase(0.3, None, None, None, 0.0, 9.0, 5, 1.0), "of 10")
    assert shipped_phase(path, {"length": 8}) is None
    assert shipped_phase(path, {}) is None


@pytest.mark.parametrize("text", ["{", '[{"options": {}, "source": ""}]', '[{"options": 3}]', "3"])
def test_a_malformed_file_of_figures_is_named(tmp_path, text):
    """With its path and what is wrong, in one line."""
    (tmp_path / "word_twin.json").write_text(text)
    with pytest.raises(DataError, match=r"word_twin\.json holds no figures"):
        shipped_phase(tmp_path / "word_twin.json", {})
