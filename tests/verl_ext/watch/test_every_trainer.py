"""Steps of all trainers are told to whoever asked."""

from types import SimpleNamespace

from halluc_plugin.progress import ASKED, Progress, parsed
from verl_ext.watch.every_trainer import BEFORE, STEPS, _tell_steps


def test_steps_are_told_when_their_answers_are_waited_for(monkeypatch, capsys):
    """A validation before the first step is a phase of its own, later ones are none."""
    monkeypatch.setenv(ASKED, "plain")
    buffer = SimpleNamespace(sample=lambda *asked: asked)
    _tell_steps(buffer, SimpleNamespace(total_training_steps=8))
    asked = [(4, "val", 2), (5, "train", 2), (5, "val", 2), (9, "train", 2)]
    assert [buffer.sample(*each) for each in asked] == asked
    told = [parsed(line) for line in capsys.readouterr().err.splitlines()]
    assert told == [Progress(BEFORE), Progress(STEPS, 4, 8), Progress(STEPS, 8, 8)]
