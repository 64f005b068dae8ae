"""Runs that were started before modules moved: what Hydra and we recorded of them is taken as it is.

``before/`` holds it: the configs that Hydra saved and our record of the start (the last state before modules
moved; ``grpo`` is of ``+recipe=halluc_grpo``, ``sft`` of ``+recipe=halluc_sft``), with words for folders.
"""

import os
import time
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf

from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.countdown.files import CountdownRequest, write_countdown
from halluc_plugin.tokens import BACKTRACK_TOKEN
from verl_ext.recipe.callback import RunCallback
from verl_ext.recipe.resumption import CONFIGS, Start
from verl_ext.recipe.sft_callback import SFTCallback

BEFORE = Path(__file__).with_name("before")
CALLBACKS = {"grpo": RunCallback, "sft": SFTCallback}
PROGRAMS = {"grpo": "ppo_trainer", "sft": "sft_trainer_engine"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder of a small Countdown data set, with traces."""
    folder = tmp_path_factory.mktemp("data")
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    request = CountdownRequest(train=20, test=5)
    return write_countdown(folder, request, tokenizer, lambda items, what, total: items).train.parent


@pytest.fixture(params=CALLBACKS)
def kind(request, monkeypatch, tmp_path):
    """Which run; it is started where it was, and the environment is as before afterwards."""
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    yield request.param
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def folders(kind, model, data, tmp_path):
    """Where the run, its model and its data lie now."""
    return {"RUN": tmp_path / "checkpoints" / "halluc" / f"halluc_{kind}", "MODEL": model, "DATA": data}


@pytest.fixture
def recorded(kind, folders):
    """What was recorded, with the folders of now."""

    def read(name):
        text = (BEFORE / kind / f"{name}.yaml").read_text()
        for word, folder in folders.items():
            text = text.replace(f"{word}_FOLDER", str(folder))
        return text

    return read


@pytest.fixture
def checkpoint(folders, recorded):
    """The run's folder as it was left behind, with a checkpoint of step 2."""
    run = folders["RUN"]
    (run / "global_step_2").mkdir(parents=True)
    (run / CONFIGS).mkdir()
    record = run / CONFIGS / "20261129-052130-120458.yaml"
    record.write_text(recorded("start"))
    os.utime(record, (time.time() - 60,) * 2)
    (run / "latest_checkpointed_iteration.txt").write_text("2")
    return run / "global_step_2"


def saved_config(recorded):
    """The whole config as Hydra saved it, with its own block, as Hydra hands it to callbacks."""
    return OmegaConf.merge(OmegaConf.create(recorded("hydra")), OmegaConf.create(recorded("config")))


def test_the_saved_config_is_resumed(kind, recorded, checkpoint, capsys):
    """Its callback is found, all checks pass, and nothing counts as changed since the checkpoint."""
    config = saved_config(recorded)
    callback = instantiate(config.hydra.callbacks.halluc)
    assert type(callback) is CALLBACKS[kind]
    callback.on_run_start(config)
    said = capsys.readouterr().err
    assert f"halluc: goes on from {checkpoint}\n" in said


def test_the_same_command_is_resumed(kind, folders, recorded, checkpoint, capsys):
    """The recipe of now with the overrides of then goes on from the checkpoint."""
    saved = OmegaConf.create(recorded("hydra")).hydra.overrides.task
    model, data = folders["MODEL"], folders["DATA"]
    files = {
        "grpo": [
            f"actor_rollout_ref.model.path={model}",
            f"data.train_files={data}/train.parquet",
            f"data.val_files=[{data}/test_seen.parquet,{data}/test_new.parquet]",
        ],
        "sft": [f"model.path={model}", f"data.train_files={data}/traces.parquet"],
    }[kind]
    scale = {"grpo": "halluc/scale=cpu", "sft": "halluc/sft_scale=cpu"}[kind]
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose(PROGRAMS[kind], [*saved, scale, *files])
    CALLBACKS[kind]().on_run_start(config)
    assert f"halluc: goes on from {checkpoint}" in capsys.readouterr().err
    assert len(list((checkpoint.parent / CONFIGS).iterdir())) == 2


def test_fingerprints_of_weights_stay(tmp_path):
    """Else every checkpoint would be another model's: this one was computed before."""
    (tmp_path / "config.json").write_text('{"model_type": "llama"}\n')
    (tmp_path / "model.safetensors").write_bytes(bytes(i * i % 251 for i in range(3_000_000)))
    (tmp_path / "pytorch_model.bin").write_bytes(b"few")
    start = Start.of(OmegaConf.create({"model": str(tmp_path)}), "model")
    assert start.fingerprint == "f64df57d08b4bf85e49c5200980226a072c023d67f48792d6951e97a3ff5ff82"
