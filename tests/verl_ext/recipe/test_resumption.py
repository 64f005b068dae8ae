"""A run under the name of another one: what is refused, what is said, what is recorded."""

import os
import re
import shlex
import shutil
import time

import pytest
from omegaconf import OmegaConf

from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN
from verl_ext.recipe.base import EXIT_BAD_INPUT
from verl_ext.recipe.callback import RunCallback
from verl_ext.recipe.resumption import CONFIGS, SHOWN


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
    folder = shutil.copytree(model, tmp_path / "other")
    retrain(folder)
    return folder


def retrain(folder):
    """Put other weights in place of those that are there."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    new_model(tokenizer, Size.TINY, seed=1).save_pretrained(folder)


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
    (way_on,) = re.findall("give `(.*)`", said)
    assert shlex.split(way_on) == [
        "trainer.resume_mode=resume_path",
        f"trainer.resume_from_path={run}/global_step_16",
    ]
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
    """Another recipe changes more than a line can hold; our own settings come first, and once."""
    start(config())
    leave_checkpoint(run)
    others = [
        f"trainer.{key}=7" for key in ("save_freq", "test_freq", "total_epochs", "max_actor_ckpt_to_keep")
    ]
    start(config(*others, "data.seed=7", recipe="halluc_grpo_hard"))
    said = capsys.readouterr().err
    assert "changed: halluc.boundary: noop -> mask; halluc.context: soft -> hard; actor_rollout_ref." in said
    assert re.search(r"; and [1-9]\d* more\n", said)
    assert said.count(" -> ") == SHOWN


def test_a_start_that_left_no_checkpoint_is_no_owner(config, run, other, capsys):
    """The checkpoint belongs to the run that was started before it was written, not to a later one."""
    start(config())
    (record,) = (run / CONFIGS).iterdir()
    os.utime(record, (time.time() - 7200,) * 2)
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


def test_the_same_weights_are_the_same_model_wherever_they_lie(config, run, model, tmp_path, monkeypatch):
    """A relative path, a link and a copy in another job's scratch folder are not another model."""
    start(config())
    leave_checkpoint(run)
    monkeypatch.chdir(model.parent)
    (tmp_path / "link").symlink_to(model)
    copied = shutil.copytree(model, tmp_path / "copied")
    for path in (model.name, tmp_path / "link", copied):
        start(config(f"actor_rollout_ref.model.path={path}"))


def test_a_model_that_was_trained_anew_in_its_folder_is_another(config, run, model, tmp_path, capsys):
    """The path alone says nothing."""
    mine = shutil.copytree(model, tmp_path / "mine")
    start(config(f"actor_rollout_ref.model.path={mine}"))
    leave_checkpoint(run)
    retrain(mine)
    with pytest.raises(SystemExit):
        start(config(f"actor_rollout_ref.model.path={mine}"))
    assert "what is there now would not be read" in capsys.readouterr().err


def test_a_checkpoint_that_is_gone_is_not_gone_on_from(config, run, other, capsys):
    """Where its folder is missing verl starts afresh, and so may another model."""
    start(config())
    leave_checkpoint(run)
    (run / "global_step_16").rmdir()
    start(config(f"actor_rollout_ref.model.path={other}"))
    assert "goes on from" not in capsys.readouterr().err


@pytest.mark.parametrize(("names", "refused"), [("a", True), ("a,b", False), ("a_${hydra:job.num}", False)])
def test_jobs_of_a_sweep_need_folders_of_their_own(config, capsys, names, refused):
    """Else each job would go on from the last one's checkpoint."""
    swept = config()
    overrides = ["actor_rollout_ref.actor.optim.lr=1e-4,1e-5", f"trainer.experiment_name={names}"]
    OmegaConf.update(swept, "hydra.overrides.task", overrides, force_add=True)
    if refused:
        with pytest.raises(SystemExit) as exit_:
            RunCallback().on_multirun_start(swept)
        assert exit_.value.code == EXIT_BAD_INPUT
        assert "All jobs of the sweep would have the folder" in capsys.readouterr().err
    else:
        RunCallback().on_multirun_start(swept)


def test_environment_variables_are_not_recorded(config, run):
    """They may hold secrets, a tracker's key for one."""
    start(config("+ray_kwargs.ray_init.runtime_env.env_vars.WANDB_API_KEY=secret"))
    (record,) = (run / CONFIGS).iterdir()
    assert "secret" not in record.read_text()
    assert OmegaConf.load(record).config.halluc.context == "soft"
