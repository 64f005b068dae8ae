"""The validation of `halluc assess`: its scores by hand, and that predictions stand before results."""

import json
import math

import pytest

from halluc_plugin.errors import SettingsError
from halluc_plugin.jobs.assess import job as assess_job
from halluc_plugin.recipes.assess_validation import run
from halluc_plugin.recipes.assess_validation.pairs import PAIRS, Scale
from halluc_plugin.recipes.assess_validation.scores import (
    mean_error,
    rank_correlation,
    ranks,
    tokens_error,
)
from halluc_plugin.training.settings import TrainSettings


def test_scores_by_hand():
    """Ranks share ties; one exchange among four is a correlation of 0.8; errors are absolute."""
    assert ranks([3, 1, 3, 0]).tolist() == [2.5, 1, 2.5, 0]
    assert rank_correlation([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(0.8)
    assert rank_correlation([1, 2, 3], [9, 4, 1]) == pytest.approx(-1)
    assert math.isnan(rank_correlation([1, 1], [1, 2]))
    assert mean_error([0.5, 0.9], [0.6, 0.7]) == pytest.approx(0.15)


def test_there_are_sixteen_pairs():
    """Of eight tasks with two starts each, under names of their own."""
    assert len({pair.name for pair in PAIRS}) == 16
    assert len({pair.problems for pair in PAIRS}) == 8


def test_tokens_are_scored_relatively():
    """Thirty for twenty is off by a half, twenty for twenty by nothing."""
    cells = [{"predicted_tokens": said, "observed_tokens": 20} for said in (30, 20)]
    assert tokens_error(cells) == pytest.approx(0.25)


@pytest.fixture
def small(monkeypatch):
    """Two steps of each training, six problems, and predictions of a policy that was never asked."""
    monkeypatch.setattr(run, "SCALE", Scale(train=8, test=6, edit_steps=2, samples=2, max_tokens=12))
    short = TrainSettings(steps=2, batch_size=4, save_steps=2)
    monkeypatch.setattr(run.Pair, "clean", lambda pair: short)
    monkeypatch.setattr(run.Pair, "edited", lambda pair, scale: short)
    calls = []

    def predict(job, part, progress):
        calls.append(job)
        step = {"dead": {"value": 0.75}}
        wanted = {"unit": "step", "context": "hard", "detection": "seen", "success": 0.9, "tokens": 30.0}
        content = {
            "date": "2026-01-01T00:00:00+00:00",
            "measured": {"accuracy": {"value": 0.25}, "steps": [step]},
            "predictions": [wanted, wanted | {"context": "soft"}],
        }
        job.out.mkdir()
        told = content | {"sha256": assess_job._hash(content)}
        (job.out / "assessment.json").write_text(json.dumps(told))

    monkeypatch.setattr(run, "assess", predict)
    return calls


def test_a_pair_is_predicted_then_run_and_kept(small, tmp_path, capsys):
    """The result names the hash of older predictions; a second start makes nothing anew."""
    name = PAIRS[0].name
    run.main(tmp_path, [name])
    result = json.loads((tmp_path / name / "result.json").read_text())
    assert result["sha256"] == assess_job.told_hash(tmp_path / name / "assessment" / "assessment.json")
    assert result["predicted_at"] < result["began"]
    assert (result["predicted"], result["before"], result["live"]) == (0.9, 0.25, 0.25)
    assert 0 <= result["observed"] <= 1
    assert small[0].model.endswith("start")
    run.main(tmp_path, [name])
    assert len(small) == 1
    assert "accuracy before" in capsys.readouterr().out
    assert (tmp_path / "tables" / "pairs.png").stat().st_size > 1000


def test_unknown_pairs_are_refused(tmp_path):
    """Before anything is made."""
    with pytest.raises(SettingsError, match="no pair 'word'"):
        run.main(tmp_path / "out", ["word"])
    assert not (tmp_path / "out").exists()
