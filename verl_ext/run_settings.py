"""The ``halluc:`` block inside verl's processes, and what it demands of the rest of verl's config.

How the block travels: agent loop, reward manager and trainer are given verl's whole config and read
``config.halluc``; a training worker is given ``actor_rollout_ref`` only and finds it in its ``fsdp_config``
(:mod:`verl_ext.engine_config`); the rollout engine is told per request, in ``SamplingParams.extra_args``
(:mod:`halluc_plugin.vllm_engine.request`). The advantage estimator needs none of it.
"""

from omegaconf import DictConfig, OmegaConf, open_dict

from halluc_plugin.errors import SettingsError
from halluc_plugin.settings import Settings, load

BUDGET_PROCESSOR = "halluc_plugin.vllm_engine.budget:EditBudget"
STOCK_STRATEGY = "fsdp2"
BANNING_STRATEGY = "backtrack_fsdp2"
BANNING_ENGINE_CONFIG = "verl_ext.engine_config.BacktrackEngineConfig"


def from_config(config: DictConfig) -> Settings:
    """The settings of a run; the defaults when its config has no ``halluc`` block.

    Args:
        config: verl's whole config.

    Raises:
        SettingsError: See :func:`halluc_plugin.settings.load`.
    """
    return load(config.get("halluc"))


def complete(config: DictConfig, settings: Settings) -> None:
    """Fill in what a ban on edit tokens needs elsewhere: the engine's processor and the actor's engine.

    A run without bans is left on verl's stock engine.

    Args:
        config: verl's whole config, changed in place before any worker starts.
        settings: Of the run.

    Raises:
        SettingsError: The run cannot apply bans (see :func:`check`).
    """
    if settings.bans_edits:
        model = config.actor_rollout_ref
        with open_dict(config):
            if model.actor.strategy == STOCK_STRATEGY:
                model.actor.strategy = BANNING_STRATEGY
            for role in (model.actor, model.ref):
                role.fsdp_config["_target_"] = BANNING_ENGINE_CONFIG
                role.fsdp_config["halluc"] = OmegaConf.to_container(config.halluc, resolve=True)
            OmegaConf.update(
                config,
                "actor_rollout_ref.rollout.engine_kwargs.vllm.logits_processors",
                [*(p for p in _processors(config) if p != BUDGET_PROCESSOR), BUDGET_PROCESSOR],
                force_add=True,
            )
    check(config, settings)


def check(config: DictConfig, settings: Settings) -> None:
    """Refuse a config in which engine and actor would not ban the same tokens.

    Args:
        config: verl's whole config.
        settings: Of the run.

    Raises:
        SettingsError: Edits are banned during sampling but not in the actor's log-probs, or not at all.
    """
    if not settings.bans_edits:
        return
    model = config.actor_rollout_ref
    why = "halluc.max_backtracks or halluc.boundary=mask bans edit tokens during sampling"
    for role in ("actor", "ref"):
        if model[role].strategy != BANNING_STRATEGY:
            raise SettingsError(
                f"{why}, but actor_rollout_ref.{role}.strategy={model[role].strategy} computes log-probs "
                "without the ban.",
                f"Set actor_rollout_ref.actor.strategy={STOCK_STRATEGY} (completed by our recipes) or "
                f"{BANNING_STRATEGY}; other strategies cannot ban.",
            )
        target = model[role].fsdp_config.get("_target_")
        if target != BANNING_ENGINE_CONFIG or load(model[role].fsdp_config.get("halluc")) != settings:
            raise SettingsError(
                f"{why}, but actor_rollout_ref.{role}.fsdp_config does not carry the same halluc block.",
                f"Set its _target_ to {BANNING_ENGINE_CONFIG} and its halluc to ${{halluc}}.",
            )
    if model.rollout.name != "vllm":
        raise SettingsError(
            f"{why}, which only vLLM rollouts can, not {model.rollout.name}.",
            "Set actor_rollout_ref.rollout.name=vllm.",
        )
    if BUDGET_PROCESSOR not in _processors(config):
        raise SettingsError(
            f"{why}, but vLLM is not given the processor that does it.",
            f"Add it: actor_rollout_ref.rollout.engine_kwargs.vllm.logits_processors=['{BUDGET_PROCESSOR}'].",
        )


def _processors(config: DictConfig) -> list[str]:
    path = "actor_rollout_ref.rollout.engine_kwargs.vllm.logits_processors"
    return list(OmegaConf.select(config, path, default=None) or [])
