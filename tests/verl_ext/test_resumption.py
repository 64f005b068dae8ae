"""A run under the name of another one: what is refused, what is said, what is recorded."""

import os
import shutil
import time

import pytest
from omegaconf import OmegaConf

from verl_ext.callback import RunCallback
from verl_ext.recipe_callback import EXIT_BAD_INPUT
from verl_ext.resumption import CONFIGS


def start(config):
    """Run the callback's first half."""
    RunCallback().on_run_start(config)
    return config


@pytest.fixture
def run(tmp_path):
    """The run's folder."""
    return tmp_path / "run"


def leave_checkpoint(run, step=16, written=None):
    """What verl leaves behind."""
    (run / f"global_step_{step}").mkdir(parents=True)
    marker = run / "latest_checkpointed_iteration.txt"
    marker.write_text(str(step))
    if written is not None:
        os.utime(marker, (written, written))


@pytest.fixture
def other(model, tmp_path):
    """Another model of the same kind."""
    return shutil.copytree(model, tmp_path / "other")


def test_another_models_checkpoint_is_not_resumed(config, run, other, model, capsys):
    """Else verl would load the old weights and never read the new ones; the ways out are named, and work."""
    start(config())
    leave_checkpoint(run)
    mine = f"actor_rollout_ref.model.path={other}"
    with pytest.raises(SystemExit) as exit_:
        start(config(mine))
    assert exit_.value.code == EXIT_BAD_INPUT
    said = capsys.readouterr().err
    assert f"began with actor_rollout_ref.model.path={model}" in said
    assert f"{other} would not be read" in said
    assert "trainer.experiment_name=" in said
    assert len(list((run / CONFIGS).iterdir())) == 1
    start(config(mine, "trainer.resume_mode=disable"))
    start(config(mine, "trainer.resume_mode=resume_path", f"trainer.resume_from_path={run}/global_step_16"))
    start(config(mine, f"trainer.default_local_dir={run.parent / 'mine'}"))


def test_the_same_model_is_resumed_and_changes_are_said(config, run, capsys):
    """Other settings are a user's right; what a resumed run changes as a matter of course is not listed."""
    start(config())
    leave_checkpoint(run)
    start(config("data.seed=5", "trainer.total_training_steps=99", "actor_rollout_ref.actor.optim.lr=5e-5"))
    said = capsys.readouterr().err
    assert f"halluc: goes on from {run / 'global_step_16'}. Since it was written, changed: " in said
    assert "actor_rollout_ref.actor.optim.lr: 0.0001 -> 5e-05; data.seed:" in said
    assert "total_training_steps" not in said


def test_an_unchanged_start_says_only_where_it_goes_on(config, run, capsys):
    """A run that was cut off is resumed without a list."""
    start(config())
    leave_checkpoint(run)
    start(config())
    assert f"halluc: goes on from {run / 'global_step_16'}\n" in capsys.readouterr().err


def test_many_changes_are_counted(config, run, capsys):
    """Another recipe changes more than a line can hold."""
    start(config())
    leave_checkpoint(run)
    start(config(recipe="halluc_grpo_hard"))
    assert "halluc.context: soft -> hard" not in capsys.readouterr().err.split(" more")[1]


def test_a_start_that_left_no_checkpoint_is_no_owner(config, run, other, capsys):
    """The checkpoint belongs to the run that was started before it was written, not to a later one."""
    start(config())
    (run / CONFIGS / next((run / CONFIGS).iterdir()).name).rename(run / CONFIGS / "20200101-000000.yaml")
    leave_checkpoint(run, written=time.time() - 3600)
    mine = f"actor_rollout_ref.model.path={other}"
    start(config(mine, "trainer.resume_mode=disable"))
    with pytest.raises(SystemExit):
        start(config(mine))
    assert f"{other} would not be read" in capsys.readouterr().err


def test_a_run_of_before_the_record_is_resumed(config, run):
    """Without a record there is nothing to compare; the start leaves one."""
    leave_checkpoint(run)
    start(config())
    assert len(list((run / CONFIGS).iterdir())) == 1


def test_the_path_may_be_written_in_another_way(config, run, model, monkeypatch):
    """A relative path and the absolute one are the same model."""
    start(config())
    leave_checkpoint(run)
    monkeypatch.chdir(model.parent)
    start(config(f"actor_rollout_ref.model.path={model.name}"))


def test_environment_variables_are_not_recorded(config, run):
    """They may hold secrets, a tracker's key for one."""
    start(config("+ray_kwargs.ray_init.runtime_env.env_vars.WANDB_API_KEY=secret"))
    (record,) = (run / CONFIGS).iterdir()
    assert "secret" not in record.read_text()
    assert OmegaConf.load(record).halluc.context == "soft"
