"""Refuse ``+recipe=NAME`` if Hydra did not compose it, as stock verl would train without an error."""

import functools
from types import ModuleType
from typing import Any

from omegaconf import DictConfig

from halluc_plugin.errors import SettingsError


def refuse_bare_recipe(verl_config: ModuleType) -> None:
    """Make verl's own validation of configs refuse one in which ``recipe`` is a text."""
    validate = verl_config.validate_config

    @functools.wraps(validate)
    def validate_config(config: DictConfig, *args: Any, **kwargs: Any) -> Any:
        check_recipe(config)
        return validate(config, *args, **kwargs)

    verl_config.validate_config = validate_config  # type: ignore[attr-defined]


def check_recipe(config: DictConfig) -> None:
    """Refuse ``recipe`` as a text, which Hydra leaves if it did not find the recipe.

    Args:
        config: verl's whole config.

    Raises:
        SettingsError: The recipe was never composed.
    """
    recipe = config.get("recipe")
    if isinstance(recipe, str):
        raise SettingsError(
            f"+recipe={recipe} was not found by Hydra, which took it for a plain setting; "
            "stock verl would train.",
            "Reinstall halluc so that `python -m verl.trainer.main_ppo --info searchpath` shows "
            "halluc_plugin.recipes (`halluc doctor` tells more), or add "
            "`'hydra.searchpath=[pkg://halluc_plugin.recipes]'`.",
        )


def require_main_ppo(config: DictConfig) -> None:
    """Refuse a config that is not that of ``verl.trainer.main_ppo``.

    Raises:
        SettingsError: The config is that of another program.
    """
    if "optim" in config:  # the SFT trainer's, at the top level
        raise SettingsError(
            "This recipe is for reinforcement learning.",
            "Start it with `python -m verl.trainer.main_ppo`, or use +recipe=halluc_sft here.",
        )


def require_sft_trainer(config: DictConfig) -> None:
    """Refuse a config that is not that of ``verl.trainer.sft_trainer``.

    Raises:
        SettingsError: The config is that of another program.
    """
    if "actor_rollout_ref" in config:
        raise SettingsError(
            "This recipe is for fine-tuning.",
            "Start it with `python -m verl.trainer.sft_trainer`, or use +recipe=halluc_grpo here.",
        )
