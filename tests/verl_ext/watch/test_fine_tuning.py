"""Steps of verl's SFT trainer are told to whoever asked."""

from types import SimpleNamespace

import pytest
from verl.utils.tracking import Tracking
from verl.workers.engine_workers import TrainingWorker

from halluc_plugin.progress import ASKED, Progress, parsed
from verl_ext.watch.fine_tuning import STEPS, tell_steps


@pytest.fixture
def parts(monkeypatch):
    """The parts of verl's trainer that tell, put back behind the test; what they did."""
    done = []

    def reset(self):
        done.append("reset")

    def log(self, data, step):
        done.append((data, step))

    reset.how = "called"
    monkeypatch.setattr(TrainingWorker, "reset", reset)
    monkeypatch.setattr(Tracking, "log", log)
    return done


def train(steps, total):
    """What verl's trainer does with the two, as far as they are concerned."""
    TrainingWorker.reset(SimpleNamespace(optimizer_config=SimpleNamespace(total_training_steps=total)))
    for step in steps:
        Tracking.log(SimpleNamespace(), data={"train/loss": 1.0}, step=step)


def test_steps_are_told_as_they_are_logged(parts, monkeypatch, capsys):
    """Of how many, too, from the step that a run was resumed at; verl's parts do what they did."""
    monkeypatch.setenv(ASKED, "plain")
    monkeypatch.setattr("halluc_plugin.progress.SECONDS_BETWEEN", 0)
    tell_steps()
    train((6, 7, 8), total=8)
    told = [parsed(line) for line in capsys.readouterr().err.splitlines()]
    assert told == [Progress(STEPS, step, 8) for step in (6, 7, 8)]
    assert parts == ["reset", *(({"train/loss": 1.0}, step) for step in (6, 7, 8))]
    assert TrainingWorker.reset.how == "called"


def test_where_nobody_asked_nothing_is_changed(parts, monkeypatch, capsys):
    """Without ``halluc quiet`` verl's parts are its own, and nothing is said."""
    monkeypatch.delenv(ASKED, raising=False)
    before = TrainingWorker.reset, Tracking.log
    tell_steps()
    assert (TrainingWorker.reset, Tracking.log) == before
    train((1,), total=2)
    assert capsys.readouterr().err == ""
