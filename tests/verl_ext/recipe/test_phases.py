"""What a run's models are worth at its end, and what is written of it beside the run."""

import json

import pytest

from halluc_plugin import prepare
from halluc_plugin.settings import load
from verl_ext.recipe import phases
from verl_ext.recipe.phases import report_phases

TWIN = {"accuracy": 0.3, "tokens": 20.5, "n": 500, "temperature": 1.0}


@pytest.fixture
def ended(config, model, data, monkeypatch, tmp_path):
    """Reports a run that began from the embedded model, and whose task has figures of a clean twin."""
    (tmp_path / "shipped").mkdir()
    monkeypatch.setattr(phases, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(prepare, "scratch_model", lambda settings: model)
    entry = {"options": {"length": 6}, "source": "three seeds", "phase": TWIN}
    (tmp_path / "shipped" / "countdown_twin.json").write_text(json.dumps([entry]))
    (tmp_path / "run").mkdir()

    def report(*, embedded, length=6):
        settings = load({"report": {"problems": 2}, "prepare": {"options": {"length": length}}})
        return report_phases(config(), settings, model, 8.0, embedded=embedded)

    return report


def test_an_embedded_run_has_its_base_and_the_shipped_twin(ended, tmp_path, capsys):
    """Both stand beside start and end, the twin marked as shipped in the table and in the file."""
    assert ended(embedded=True) == str(tmp_path / "run" / "report.json")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert list(report["phases"]) == ["base", "start", "after_rl", "clean_twin"]
    assert report["phases"]["base"] == report["phases"]["start"]  # here it is the same model
    twin = report["phases"]["clean_twin"]
    assert (twin["shipped"], twin["accuracy"], twin["accuracy_banned"]) == (True, 0.3, None)
    said = " ".join(capsys.readouterr().out.split())
    assert "(shipped)" in said
    assert "30.0 %" in said


def test_figures_of_other_problems_are_left_out(ended, tmp_path):
    """Words of another length are another task."""
    ended(embedded=True, length=8)
    assert "clean_twin" not in json.loads((tmp_path / "run" / "report.json").read_text())["phases"]


def test_a_run_of_ones_own_has_neither(ended, tmp_path):
    """What its model was before is not known, and the recipe's twin is none of it."""
    ended(embedded=False)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert list(report["phases"]) == ["start", "after_rl"]


def test_speed_and_memory_are_those_that_verl_logged(ended, tmp_path):
    """From the run's own metrics; null without them."""
    ended(embedded=False)
    assert json.loads((tmp_path / "run" / "report.json").read_text())["tokens_per_second"] is None
    (tmp_path / "run" / "metrics").mkdir()
    logged = {"step": 1, "data": {"perf/total_num_tokens": 90, "perf/time_per_step": 3.0}}
    (tmp_path / "run" / "metrics" / "1.jsonl").write_text(json.dumps(logged) + "\n")
    ended(embedded=False)
    assert json.loads((tmp_path / "run" / "report.json").read_text())["tokens_per_second"] == 30.0
