"""Check that the names registered with verl still lead to halluc.

verl refuses a second owner of most names, but lets a second agent loop of one name replace the first.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from halluc_plugin.errors import SettingsError
from verl_ext.run_settings import OUR_LOOPS

OURS = "verl_ext."


def _agent_loop(name: str) -> str:
    from verl.experimental.agent_loop.agent_loop import _agent_loop_registry

    return str(_agent_loop_registry[name]["_target_"])


def _reward_manager(name: str) -> str:
    from verl.experimental.reward_loop.reward_manager.registry import get_reward_manager_cls

    return get_reward_manager_cls(name).__module__


def _estimator(name: str) -> str:
    from verl.trainer.ppo.core_algos import get_adv_estimator_fn

    return str(get_adv_estimator_fn(name).__module__)


def _trainer(name: str) -> str:
    from verl.trainer.ppo.v1 import get_trainer_cls

    return str(get_trainer_cls(name).__module__)


def _engine(name: str) -> str:
    import verl.workers.engine.fsdp.transformer_impl  # noqa: F401 - engines register when it is imported
    from verl.plugin.platform.platform_manager import get_platform
    from verl.workers.engine.base import EngineRegistry

    by_device = EngineRegistry._engines["language_model"][name]  # noqa: SLF001 - it has no query
    return str(by_device[get_platform().device_name].__module__)


NAMES: tuple[tuple[str, str, str, Callable[[str], str]], ...] = (
    # kind, name, where a config selects it, who owns it
    ("agent loop", "backtrack", "actor_rollout_ref.rollout.agent.default_agent_loop", _agent_loop),
    ("agent loop", "refine", "actor_rollout_ref.rollout.agent.default_agent_loop", _agent_loop),
    ("agent loop", "resets", "actor_rollout_ref.rollout.agent.default_agent_loop", _agent_loop),
    ("reward manager", "backtrack", "reward.reward_manager.name", _reward_manager),
    ("advantage estimator", "backtrack_grpo", "algorithm.adv_estimator", _estimator),
    ("trainer", "backtrack_sync", "trainer.v1.trainer_mode", _trainer),
    ("engine", "backtrack_fsdp2", "actor_rollout_ref.actor.strategy", _engine),
)


def owner(look_up: Callable[[str], str], name: str) -> str | None:
    """Return where the object of a name is defined, None if verl does not know the name."""
    try:
        return look_up(name)
    except (KeyError, ValueError, AssertionError):
        return None


def require_ours(config: DictConfig) -> None:
    """Refuse a run in which a name of halluc that it selects leads to another plugin.

    Args:
        config: verl's whole config.

    Raises:
        SettingsError: Another plugin has taken a name, or the name is not registered.
    """
    _require_our_loop(config)
    for kind, name, path, look_up in NAMES:
        selected: Any = OmegaConf.select(config, path, default=None)
        if selected != name:
            continue
        found = owner(look_up, name)
        if found is None:
            raise SettingsError(
                f"{path}={name} selects the {kind} of halluc, which verl does not know.",
                'Run `python -c "import verl"` and read what halluc prints.',
            )
        if not found.startswith(OURS):
            raise SettingsError(
                f"{path}={name} selects the {kind} of {found}: two plugins register one name.",
                f"Uninstall the plugin that defines {found}, or leave it out: "
                "VERL_USE_EXTERNAL_PLUGINS=halluc.",
            )


def _require_our_loop(config: DictConfig) -> None:
    """Refuse a file of agent loops, read by verl in a worker, that gives the run's name to another one."""
    file = OmegaConf.select(config, "actor_rollout_ref.rollout.agent.agent_loop_config_path")
    if not file or not Path(str(file)).is_file():
        return  # where else it may be, and that it is nowhere, is verl's to say
    loop = config.actor_rollout_ref.rollout.agent.default_agent_loop
    if loop in OUR_LOOPS and any(given.get("name") == loop for given in OmegaConf.load(str(file))):
        raise SettingsError(
            f"{file} (agent_loop_config_path) gives the name {loop} to an agent loop of its own.",
            "Give it another name, and set actor_rollout_ref.rollout.agent.default_agent_loop to that.",
        )
