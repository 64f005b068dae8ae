"""The ``halluc:`` block inside verl's processes, and what it requires of the rest of verl's config.

The block travels as follows: agent loop, reward manager and trainer are given verl's whole config and read
``config.halluc``; a training worker is given ``actor_rollout_ref`` only and finds it in its ``fsdp_config``
(:mod:`verl_ext.engine_config`); the rollout engine is told per request, in ``SamplingParams.extra_args``
(:mod:`halluc_plugin.vllm_engine.request`). The advantage estimator needs none of it.
"""

from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.errors import SettingsError
from halluc_plugin.settings import Settings, load
from halluc_plugin.vllm_engine.launch import ENGINE_ARGS, SOFT_PROCESSOR
from verl_ext.compat import require_tested_verl
from verl_ext.host_settings import TABLE, Where, asked_for, hit, refuse, runs_of
from verl_ext.host_settings.keys import ACTOR, MODEL, OWN_STRATEGY, STOCK_STRATEGY

OUR_LOOPS = frozenset({"backtrack", "refine", "resets"})
OUR_TRAINER = "backtrack_sync"
OWN_ENGINE_CONFIG = "verl_ext.engine_config.BacktrackEngineConfig"

_VLLM = "actor_rollout_ref.rollout.engine_kwargs.vllm"
_ATTENTION = "actor_rollout_ref.model.override_config.attn_implementation"
_UNTRIED = (
    f"{MODEL}.use_liger",
    f"{MODEL}.mtp.enable",
    f"{ACTOR}.use_prefix_grouper",
    "distillation.enabled",
)
"""Settings that halluc's engine was never tried with in soft context."""


def from_config(config: DictConfig) -> Settings:
    """Return the settings of a run, or the defaults if its config has no ``halluc`` block.

    Args:
        config: verl's whole config.

    Raises:
        HostVersionError: verl is outside the tested window.
        SettingsError: The block is refused by :func:`halluc_plugin.settings.load`.
    """
    require_tested_verl()
    return load(config.get("halluc"))


def is_ours(config: DictConfig) -> bool:
    """Return whether a run uses halluc: a ``halluc`` block, or its agent loop or reward manager."""
    loop = OmegaConf.select(config, "actor_rollout_ref.rollout.agent.default_agent_loop")
    manager = OmegaConf.select(config, "reward.reward_manager.name")
    return "halluc" in config or loop in OUR_LOOPS or manager == "backtrack"


def judged_by_model(config: DictConfig) -> bool:
    """Return whether verl calls a reward model without the reward manager (``reward.reward_model``)."""
    return bool(config.reward.reward_model.enable) and not has_reward_function(config)


def has_reward_function(config: DictConfig) -> bool:
    """Return whether a user's function scores all answers (``reward.custom_reward_function``)."""
    return bool((config.reward.get("custom_reward_function") or {}).get("path"))


def complete(config: DictConfig, settings: Settings) -> None:
    """Fill in the settings of rollout engine and actor that bans on edits and hard context need.

    A run with neither keeps verl's stock engines, unless :func:`tells_edit_probs` asks for halluc's.

    Args:
        config: verl's whole config, changed in place before any worker starts.
        settings: The settings of the run.

    Raises:
        SettingsError: The run cannot do what the settings ask for (see :func:`check`).
    """
    require_supported_host(config, settings)
    if settings.steers_rollouts:
        with open_dict(config):
            for key, value in _engine_args(config, settings).items():
                OmegaConf.update(config, f"{_VLLM}.{key}", value, force_add=True)
    if settings.needs_own_engine or tells_edit_probs(config, settings):
        model = config.actor_rollout_ref
        with open_dict(config):
            if model.actor.strategy == STOCK_STRATEGY:
                model.actor.strategy = OWN_STRATEGY
            for role in (model.actor, model.ref):
                role.fsdp_config["_target_"] = OWN_ENGINE_CONFIG
                role.fsdp_config["halluc"] = OmegaConf.to_container(config.halluc, resolve=True)
            if settings.context is Context.HARD and OmegaConf.select(config, _ATTENTION) is None:
                OmegaConf.update(config, _ATTENTION, "sdpa", force_add=True)
    check(config, settings)


def actor_passes(config: DictConfig) -> bool:
    """Return whether the actor scores answers before it learns from them, or is bypassed."""
    return not (config.algorithm.get("rollout_correction") or {}).get("bypass_mode", False)


def tells_edit_probs(config: DictConfig, settings: Settings) -> bool:
    """Return whether halluc's engine scores a run for P(edit) alone; verl's would give the same log-probs.

    It does so on CPUs only, if P(edit) is read, and if halluc's engine does all that verl's is asked for.

    Args:
        config: verl's whole config.
        settings: The settings of the run.
    """
    rollout = config.actor_rollout_ref.rollout
    read = settings.trace_log.per_step or settings.metrics.judged_per_step
    asked = settings.trace_log.edit_probs and read and actor_passes(config)
    ours = rollout.agent.default_agent_loop == "backtrack" and config.trainer.v1.trainer_mode == OUR_TRAINER
    stock = all(config.actor_rollout_ref[role].strategy == STOCK_STRATEGY for role in ("actor", "ref"))
    if not (asked and ours and stock):
        return False
    # On an accelerator halluc's engine has not run under verl: it is taken there only where a run needs it.
    tried = config.trainer.device == "cpu" and not any(OmegaConf.select(config, key) for key in _UNTRIED)
    return tried and hit(config, {Where.LIMITED}, (row for rows in TABLE.values() for row in rows)) is None


def check(config: DictConfig, settings: Settings) -> None:
    """Refuse a config that contradicts the settings, or in which engine and actor differ in their policy.

    Args:
        config: verl's whole config.
        settings: The settings of the run.

    Raises:
        SettingsError: Two settings contradict each other; the message names what would go wrong and the fix.
    """
    require_supported_host(config, settings)
    if not settings.steers_rollouts:
        return
    why = asked_for(settings)
    if settings.needs_own_engine:
        _check_actor(config, settings, why)
    given = OmegaConf.select(config, _VLLM, default=None) or {}
    for key, value in _engine_args(config, settings).items():
        if given.get(key) != value:
            raise SettingsError(
                f"{why}, but vLLM is given {key}={given.get(key)}.", f"Set {_VLLM}.{key}={value}."
            )
    if settings.context is Context.HARD:
        _refuse_greedy(config, settings)


def require_supported_host(config: DictConfig, settings: Settings) -> None:
    """Refuse a run with a setting of verl that its table refuses.

    Args:
        config: verl's whole config.
        settings: The settings of the run.

    Raises:
        SettingsError: A setting of verl cannot be combined with the run's.
    """
    if settings.erased_tokens is ErasedTokens.WEIGHT or settings.shares.given:
        raise SettingsError(
            "halluc.erased_tokens=weight and halluc.shares say what is imitated, and reinforcement learning "
            "imitates nothing.",
            "Set halluc.erased_tokens=mask, keep or negative, and leave halluc.shares out.",
        )
    loop = config.actor_rollout_ref.rollout.agent.default_agent_loop
    refuse(config, settings, runs_of(settings, editing=loop == "backtrack"), TABLE)


def _check_actor(config: DictConfig, settings: Settings, why: str) -> None:
    model = config.actor_rollout_ref
    for role in ("actor", "ref"):
        if model[role].strategy != OWN_STRATEGY:
            raise SettingsError(
                f"{why}, but actor_rollout_ref.{role}.strategy={model[role].strategy} computes log-probs "
                "without regard to it.",
                f"Set actor_rollout_ref.actor.strategy={STOCK_STRATEGY} (completed by our recipes) or "
                f"{OWN_STRATEGY}; other strategies cannot.",
            )
        target = model[role].fsdp_config.get("_target_")
        if target != OWN_ENGINE_CONFIG or load(model[role].fsdp_config.get("halluc")) != settings:
            raise SettingsError(
                f"{why}, but actor_rollout_ref.{role}.fsdp_config does not carry the same halluc block.",
                f"Set its _target_ to {OWN_ENGINE_CONFIG} and its halluc to ${{halluc}}.",
            )


def _refuse_greedy(config: DictConfig, settings: Settings) -> None:
    if all(stage.max_backtracks is not None for stage in settings.stages):
        return
    # Greedy decoding returns to the same state after every edit, for ever.
    rollout, trainer = config.actor_rollout_ref.rollout, config.trainer
    validates = trainer.test_freq > 0 or trainer.val_before_train or trainer.val_only
    for who, applies, path, sampling in (
        ("Sampling", True, "rollout", rollout),
        ("Validation", validates, "rollout.val_kwargs", rollout.val_kwargs),
    ):
        if applies and float(sampling.temperature) == 0:
            raise SettingsError(
                f"{who} is greedy, and in hard context a greedy policy repeats an error that it took back.",
                f"Set actor_rollout_ref.{path}.temperature=1.0, or a budget (halluc.max_backtracks).",
            )


def _engine_args(config: DictConfig, settings: Settings) -> dict[str, Any]:
    """What vLLM must be given, the user's other logits processors kept."""
    needed: dict[str, Any] = {"logits_processors": [SOFT_PROCESSOR]}
    if settings.context is Context.HARD:
        needed = dict(ENGINE_ARGS)
    given = OmegaConf.select(config, f"{_VLLM}.logits_processors", default=None) or []
    ours = needed["logits_processors"]
    needed["logits_processors"] = [*(p for p in given if p not in ours), *ours]
    return needed
