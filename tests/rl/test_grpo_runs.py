"""Runs of the small trainer: what goes on from where it was, and what is refused."""

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from halluc_plugin.edits import Context
from halluc_plugin.errors import SettingsError
from halluc_plugin.rl import grpo
from halluc_plugin.rl.grpo import CHECKPOINT
from halluc_plugin.rl.settings import GrpoSettings
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.settings import load
from tests.rl.conftest import RUN, OnlyAnswers, logged, run_it, weights


@contextmanager
def dying_in_step_3(monkeypatch):
    """A run that is killed there."""
    step = grpo._Trainer.step

    def dies(self, number):
        if number == 3:
            raise KeyboardInterrupt
        return step(self, number)

    with monkeypatch.context() as patched:
        patched.setattr(grpo._Trainer, "step", dies)
        with pytest.raises(KeyboardInterrupt):
            yield


@pytest.mark.parametrize("context", list(Context))
def test_an_interrupted_run_ends_at_the_same_weights(tokenizer, problems, tmp_path, context, monkeypatch):
    """Killed after its checkpoint and started again, it has the same weights and one line a step."""
    block = {
        "context": context.value,
        "erased_tokens": "negative",
        "credit": {"alpha": 0.5},
        "curriculum": [{"steps": 1, "max_backtracks": 1}, {}],
        "reward": {"weights": {"outcome": 1.0, "n_mars": 0.1, "format": 0.5}},
    }
    whole = run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, tmp_path / "whole", **block)
    killed = tmp_path / "killed"
    with dying_in_step_3(monkeypatch):
        run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, killed, **block)
    assert (killed / CHECKPOINT).exists()
    run_it(new_model(tokenizer, Size.TINY, seed=1), tokenizer, problems, killed, **block)
    assert torch.equal(weights(whole), weights(killed))
    assert min(line["backtrack/degenerate/groups"] for line in logged(whole)) < 1
    assert logged(whole) == logged(killed)
    assert [line["step"] for line in logged(whole)] == [1, 2, 3]
    assert not (killed / CHECKPOINT).exists()


def test_a_run_goes_on_with_its_own_settings_only(tokenizer, problems, tmp_path, monkeypatch):
    """One of other settings is not continued, a finished one not trained anew; it may become longer."""
    with dying_in_step_3(monkeypatch):
        run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, tmp_path)
    for changed in ({"run": replace(RUN, seed=1)}, {"erased_tokens": "keep"}):
        with pytest.raises(SettingsError, match="interrupted run with other settings"):
            run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, tmp_path, **changed)
    with pytest.raises(SettingsError, match="or problems"):
        run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems[:3], tmp_path)
    run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, tmp_path, run=replace(RUN, steps=4))
    assert len(logged(tmp_path)) == 4
    with pytest.raises(SettingsError, match="holds a model already"):
        run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, tmp_path)


def test_a_run_killed_while_it_saves_its_model_is_not_lost(tokenizer, problems, tmp_path, monkeypatch):
    """Half a model is none: started again, the run writes it anew from its last checkpoint."""
    whole = run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, tmp_path / "whole")
    killed = tmp_path / "killed"

    def dies(model, tokenizer, out, **_):
        model.save_pretrained(out)
        (killed / "model.safetensors").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(grpo, "save_model", dies)
        with pytest.raises(KeyboardInterrupt):
            run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, killed)
    run_it(new_model(tokenizer, Size.TINY, seed=1), tokenizer, problems, killed)
    assert torch.equal(weights(whole), weights(killed))
    assert logged(whole) == logged(killed)


def test_what_a_run_is_known_by_stays(problems):
    """Checkpoints of before are gone on from: settings that came later count once they are set."""

    def known_by(**block):
        trainer = grpo._Trainer(None, None, problems, load(block), RUN)
        return json.loads(trainer._identity)[0]

    of_before = """boundary context credit curriculum erased_tokens failures guard max_backtracks metrics
    prepare reward tokens trace_log turns values"""
    assert known_by().keys() == {*of_before.split()}
    prepared = "seed train_problems test_problems warm_start_steps traces"
    assert known_by()["prepare"].keys() == {*prepared.split()}
    assert known_by()["reward"].keys() == {"alpha", "beta", "gamma", "kappa", "weights"}
    assert known_by(shares={"decisions": 0.5})["shares"] == {"decisions": 0.5, "erased": None}


def test_refuses(tokenizer, problems, tmp_path):
    """What it cannot do is said before anything is sampled."""
    with pytest.raises(SettingsError, match="only verl's rollouts sample from states"):
        run_it(None, tokenizer, problems, tmp_path, values={"source": "continuations"})
    with pytest.raises(SettingsError, match="4 problems for 9 a step"):
        run_it(None, tokenizer, problems, tmp_path, run=replace(RUN, prompts=9))
    unjudged = [replace(problem, verifier=OnlyAnswers()) for problem in problems]
    for block, named in (
        ({"reward": {"weights": {"process": 1.0, "outcome": 1.0}}}, "weights.process pays"),
        ({"credit": {"alpha": 0.5}}, "credit.alpha pays"),
    ):
        with pytest.raises(SettingsError, match=f"{named} for values of states, and the verifier"):
            run_it(None, tokenizer, unjudged, tmp_path, **block)


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("group", 1), ("learning_rate", 0.0)])
def test_settings_out_of_range(name, value):
    """The field is named."""
    with pytest.raises(SettingsError, match=f"{name} is {value}"):
        GrpoSettings(**{name: value})
