"""Recipes for more hardware than tests have are planned: their READMEs' commands are their settings."""

import json
import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from tests.planning.conftest import qwen_1_5b, qwen_7b

__all__ = ["qwen_1_5b", "qwen_7b"]  # fixtures

RECIPES = Path(__file__).parents[2] / "recipes"
MODELS = {"node": "qwen_1_5b", "cluster": "qwen_7b"}


@pytest.fixture(params=sorted(MODELS))
def recipe(request):
    """A recipe for accelerators."""
    return request.param


@pytest.fixture
def readme(recipe):
    """Its README."""
    return (RECIPES / recipe / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def plan(recipe, readme, request, tmp_path):
    """What the README's command says, of the shape of the model that the recipe names."""
    (line,) = re.findall(r"^halluc (doctor --plan .*)$", readme.replace("\\\n", " "), re.MULTILINE)
    request.getfixturevalue(MODELS[recipe]).save_pretrained(tmp_path)
    words = [str(tmp_path) if word.startswith("~/models/") else word for word in shlex.split(line)]
    told = CliRunner().invoke(app, [*words, "--json"])
    assert told.exit_code == 0, told.output
    return json.loads(told.output)


def test_the_command_has_the_settings_of_the_recipe(recipe, readme, plan):
    """Every setting that a plan knows is what Hydra composes of the recipe, defaults of verl included."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", [f"+recipe={recipe}"])
    model, actor, rollout = (config.actor_rollout_ref[part] for part in ("model", "actor", "rollout"))
    fsdp = actor.fsdp_config
    assert actor.use_dynamic_bsz
    assert model.path in readme
    assert plan["run"] == {
        "gpus": config.trainer.nnodes * config.trainer.n_gpus_per_node,
        "prompts": config.data.train_batch_size,
        "samples": rollout.n,
        "prompt": config.data.max_prompt_length,
        "response": config.data.max_response_length,
        "mean_response": None,
        "tokens_per_gpu": actor.ppo_max_token_len_per_gpu,
        "micro_batch": None,
        "checkpointing": model.enable_gradient_checkpointing,
        "weights": fsdp.model_dtype,
        "compute": {"bfloat16": "bf16"}[fsdp.dtype],
        "sharded": actor.strategy == "fsdp2",
        "fsdp_size": None if fsdp.fsdp_size == -1 else fsdp.fsdp_size,
        "offload_weights": fsdp.param_offload,
        "offload_optimizer": fsdp.optimizer_offload,
        "reference": actor.use_kl_loss,
        "low_rank": model.lora_rank,
        "tensor_parallel": rollout.tensor_model_parallel_size,
        "memory_utilization": rollout.gpu_memory_utilization,
        "batched_tokens": rollout.max_num_batched_tokens,
        "most_requests": rollout.max_num_seqs,
    }


def test_it_fits_and_the_readme_has_its_numbers(readme, plan):
    """In every kind of run, on devices of 80 GB; the table is what the command prints."""
    assert plan["device"]["memory"] == 80e9
    columns = plan["columns"]
    assert all(column["fits"] for column in columns.values())
    shown = [columns[kind] for kind in ("grpo", "soft", "hard")]
    for told, cells in (
        ("update: the largest moment", [f"{column['update']['peak'] / 1e9:.1f}" for column in shown]),
        ("rollout: the sum", [f"{column['rollout']['peak'] / 1e9:.1f}" for column in shown]),
        (
            "answers of full length at once, on an engine",
            [str(column["rollout"]["at_once"]) for column in shown],
        ),
    ):
        assert f"| {told} | {' | '.join(cells)} |" in readme


@pytest.mark.parametrize("context", ["soft", "hard"])
def test_it_composes_in_either_context(recipe, context):
    """With the boundary that hard context asks for, the block is valid and the run is the recipe's own."""
    from halluc_plugin.settings import load
    from verl_ext.run_settings import complete

    with initialize_config_module("verl.trainer.config", version_base=None):
        asked = [f"+recipe={recipe}", f"halluc.context={context}", "halluc.boundary=mask"]
        config = compose("ppo_trainer", asked)
    settings = load(config.halluc)
    complete(config, settings)
    assert (config.trainer.experiment_name, settings.context) == (recipe, context)
    assert config.data.train_files == "~/data/gsm8k/train.parquet"
