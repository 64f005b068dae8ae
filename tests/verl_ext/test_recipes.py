"""Recipes compose on verl's real config, and their groups show up nowhere else."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from verl.utils.config import omega_conf_to_dataclass

from halluc_plugin import prepare
from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.losses.shares import LossShares
from halluc_plugin.rl.answers import shapes_actions
from halluc_plugin.settings import load
from verl_ext.run_settings import complete

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "recipes" / "recipe").glob("*.yaml"))
SFT_RECIPES = [recipe for recipe in RECIPES if "sft" in recipe]
RL_RECIPES = [recipe for recipe in RECIPES if recipe not in SFT_RECIPES]
CREDITS = sorted(path.stem for path in (ROOT / "recipes" / "halluc" / "credit").glob("*.yaml"))
SCALES = ("cpu", "accelerator", "node", "cluster")


def composed(*overrides, program="ppo_trainer"):
    """The config of verl's trainer with these overrides."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose(program, list(overrides))


def preset(recipe):
    """The block of the reward that a recipe chooses, by itself or by the recipe that it starts from."""
    chosen = [entry for entry in yaml_of("recipe", recipe)["defaults"] if entry != "_self_"]
    for entry in reversed(chosen):
        if isinstance(entry, str):
            return preset(entry)
        (group, name), *_ = entry.items()
        if group.endswith("/halluc/reward"):
            return yaml_of("halluc/reward", name)
    raise AssertionError(f"{recipe} chooses no reward")


def yaml_of(group, name):
    """A file of ours as it is written."""
    return OmegaConf.to_container(OmegaConf.load(ROOT / "recipes" / group / f"{name}.yaml"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_short_and_documented(recipe):
    """At most 60 lines, with a README that shows the exact command."""
    assert len((ROOT / "recipes" / "recipe" / f"{recipe}.yaml").read_text().splitlines()) <= 60
    assert f"+recipe={recipe}" in (ROOT / "recipes" / recipe / "README.md").read_text()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("recipe", RL_RECIPES)
def test_every_recipe_composes_at_every_scale(recipe, scale):
    """Our block is valid, pays what the recipe says, and verl accepts its own parts, without the hardware."""
    config = composed(f"+recipe={recipe}", f"halluc/scale={scale}")
    settings = load(config.halluc)
    assert settings.reward.weights == load({"reward": preset(recipe)}).reward.weights
    complete(config, settings)
    rollout = config.actor_rollout_ref.rollout
    assert omega_conf_to_dataclass(rollout).n > 1
    assert omega_conf_to_dataclass(config.actor_rollout_ref.actor).strategy.endswith("fsdp2")
    assert (config.trainer.nnodes > 1) == (scale == "cluster")


@pytest.mark.parametrize("scale", ["cpu", "accelerator"])
@pytest.mark.parametrize("recipe", SFT_RECIPES)
def test_fine_tuning_recipes_compose_at_every_scale(recipe, scale):
    """Our block is valid, and the SFT trainer accepts its own parts, without the hardware."""
    config = composed(f"+recipe={recipe}", f"halluc/sft_scale={scale}", program="sft_trainer_engine")
    assert load(config.halluc) == load(config.data.halluc)
    assert omega_conf_to_dataclass(config.engine).strategy == "fsdp2"
    assert omega_conf_to_dataclass(config.optim).lr_scheduler_type == "cosine"
    assert (config.trainer.device == "cpu") == (scale == "cpu")


@pytest.mark.parametrize(
    ("recipe", "context", "how"),
    [
        ("halluc_sft", "soft", (ErasedTokens.KEEP, LossShares(0.5), 6)),
        ("halluc_sft", "hard", (ErasedTokens.WEIGHT, LossShares(0.5, 0.25), 6)),
        ("sft_baseline", "soft", (ErasedTokens.MASK, LossShares(), 6)),
        ("sft_baseline", "hard", (ErasedTokens.MASK, LossShares(), 6)),
    ],
)
def test_fine_tuning_on_word_problems(recipe, context, how):
    """Words and shares of the loss are those of the context; clean traces have no shares."""
    chosen = ("halluc/sft_task=word", f"halluc.context={context}")
    config = composed(f"+recipe={recipe}", *chosen, program="sft_trainer_engine")
    settings = load(config.halluc)
    assert (settings.erased_tokens, settings.shares, settings.prepare.options["length"]) == how
    assert config.data.train_files == "halluc:word"
    data = prepare.asked(settings.prepare)
    assert bool(data.request.backtracking) is (recipe == "halluc_sft")


@pytest.mark.parametrize(
    ("reward", "weights"),
    [
        ("outcome", {"outcome": 1.0}),
        ("shaped", {"outcome": 1.0, "format": 0.1, "backtrack": 1.0}),
        ("n_mars", {"n_mars": 1.0}),
        ("process", {"outcome": 1.0, "process": 0.5}),
        ("score_bonus", {"outcome": 1.0, "score_bonus": 10.0}),
    ],
)
def test_rewards_by_name(reward, weights):
    """`halluc/reward=NAME` pays what it says and nothing else."""
    chosen = load(composed("+recipe=halluc_grpo", f"halluc/reward={reward}").halluc).reward
    assert chosen.weights == weights


@pytest.mark.parametrize("name", CREDITS)
def test_credit_by_name(name):
    """`halluc/credit=NAME` sets what its file says, whatever the recipe sets; q_rm needs a model."""
    scorer = {"scorer": "Q"} if name == "q_rm" else {}
    asked = [f"++halluc.values.{key}={value}" for key, value in scorer.items()]
    chosen = load(composed("+recipe=halluc_grpo_hard", f"halluc/credit={name}", *asked).halluc)
    block = yaml_of("halluc/credit", name)
    said = load(block | {"values": block["values"] | scorer} if "credit" in block else {"credit": block})
    assert (chosen.credit, chosen.values) == (said.credit, said.values)
    assert shapes_actions(chosen) is (name != "none")


def test_the_unbiased_reference_is_verls_own():
    """grpo_outcome has verl's estimator, and nothing of ours shapes what it returns."""
    config = composed("+recipe=grpo_outcome")
    assert config.algorithm.adv_estimator == "grpo"
    settings = load(config.halluc)
    assert settings.erased_tokens is ErasedTokens.KEEP
    assert not shapes_actions(settings)
    assert not settings.needs_own_engine


def test_scores_bonus_compares_with_the_twin():
    """score_bonus samples one answer without edits from each state, and keeps erased tokens in the loss."""
    settings = load(composed("+recipe=score_bonus").halluc)
    assert settings.samples_continuations
    assert settings.values.continuations == 1
    assert settings.erased_tokens is ErasedTokens.KEEP


def test_the_platform_chooses_the_scale(monkeypatch):
    """Without an accelerator the CPU's settings are taken, with one verl's defaults and all devices."""
    from verl_ext.cpu import platform

    monkeypatch.setattr(platform, "is_cpu_run", lambda: True)
    assert composed("+recipe=halluc_grpo").trainer.device == "cpu"
    monkeypatch.setattr(platform, "is_cpu_run", lambda: False)
    config = composed("+recipe=halluc_grpo")
    assert config.trainer.device != "cpu"
    assert config.actor_rollout_ref.rollout.dtype == "bfloat16"
    assert config.trainer.n_gpus_per_node == 1  # of the pretended platform


def test_a_users_own_values_win():
    """Overrides on the command line come after the recipe."""
    config = composed("+recipe=halluc_grpo", "data.train_batch_size=8", "halluc.max_backtracks=3")
    assert config.data.train_batch_size == 8
    assert load(config.halluc).max_backtracks == 3


def test_other_applications_see_nothing_of_ours():
    """A search path that is not verl's has neither our recipes nor our groups."""
    with initialize_config_module("hydra.conf", version_base=None):
        loader = GlobalHydra.instance().config_loader()
        assert all(element.provider != "halluc" for element in loader.get_search_path().get_path())
        assert loader.get_group_options("recipe") == []


def test_both_recipes_share_everything_but_the_method():
    """Model size, data, budget and optimizer of the baseline are those of halluc_grpo."""
    ours, baseline = (composed(f"+recipe={name}") for name in ("halluc_grpo", "grpo_baseline"))
    for part in ("data", "actor_rollout_ref.actor", "actor_rollout_ref.rollout.n", "ray_kwargs"):
        assert OmegaConf.select(ours, part) == OmegaConf.select(baseline, part)
    assert ours.halluc.prepare.warm_start_steps == baseline.halluc.prepare.warm_start_steps
    assert (ours.halluc.prepare.traces, baseline.halluc.prepare.traces) == ("backtrack", "clean")


@pytest.mark.parametrize(
    ("recipe", "length", "tries"),
    [("halluc_grpo", 6, 12), ("halluc_grpo_hard", 6, 2), ("grpo_baseline", 6, 12)],
)
def test_word_problems_are_the_embedded_default(recipe, length, tries):
    """Words, traces and warm start fit the recipe's context; all else is as with Countdown, by name."""
    config, usual = (composed(f"+recipe={recipe}", *task) for task in ([], ["halluc/task=countdown"]))
    settings = load(config.halluc)
    asked = prepare.asked(settings.prepare)
    traces = asked.request.traces
    assert (asked.problems.length, traces.tries, traces.memory) == (length, tries, "none")
    assert settings.prepare.context is settings.context is load(usual.halluc).context
    assert config.data.train_files == config.data.val_files == "halluc:word"
    assert usual.data.train_files == usual.data.val_files == "halluc:countdown"
    for part in ("rollout.agent", "rollout.n", "rollout.engine_kwargs", "ref"):
        assert OmegaConf.select(config, f"actor_rollout_ref.{part}") == OmegaConf.select(
            usual, f"actor_rollout_ref.{part}"
        )
    assert config.trainer == usual.trainer
    line = length + 3  # the start, a state for each letter, the goal, the end of the line
    assert config.data.max_response_length >= 8 * (line + 1)
    assert config.data.max_prompt_length >= length + 12


def test_a_users_own_words_win():
    """Options of the task are set one by one, in the context's place."""
    config = composed("+recipe=halluc_grpo_hard", "halluc.prepare.options.length=7")
    assert prepare.asked(load(config.halluc).prepare).problems.length == 7
    assert load(composed("+recipe=halluc_grpo", "halluc.context=hard").halluc).prepare.context is Context.HARD
