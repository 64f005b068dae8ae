"""Check that the selected parts of verl apply the settings, and that edits have the parts they need."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.settings import Settings
from verl_ext.host_settings.keys import LOOP, REWARD_FUNCTION, REWARD_MODEL, TRAINER
from verl_ext.run_settings import judged_by_model


def require_our_parts(config: DictConfig, settings: Settings) -> None:
    """Refuse settings that the selected parts of verl would silently ignore."""
    from halluc_plugin.edits.builders import ErasedTokens
    from halluc_plugin.rl.answers import shapes_actions

    unset = Settings()
    loop, turns, trainer = (LOOP, "backtrack"), (LOOP, "refine"), (TRAINER, "backtrack_sync")
    manager = ("reward.reward_manager.name", "backtrack")
    shaped = shapes_actions(settings), "halluc.credit or halluc.erased_tokens=negative"
    steered = "halluc.context=hard, a budget (halluc.max_backtracks) or halluc.boundary=mask"
    kept = settings.erased_tokens is not ErasedTokens.MASK
    stage_rewards = any(stage.weights is not None for stage in settings.curriculum)
    needed = (
        # asked for, by what, which part does it
        (*shaped, trainer),
        (*shaped, loop),
        # If there is none, switching it off changes nothing.
        *(
            (settings.turns.stage is not None, "halluc.turns.stage", part)
            for part in (trainer, turns, manager)
        ),
        (settings.guard != unset.guard and settings.guard.enabled, "halluc.guard", trainer),
        (settings.trace_log != unset.trace_log and settings.trace_log.per_step, "halluc.trace_log", trainer),
        (settings.metrics != unset.metrics and settings.metrics.judged_per_step, "halluc.metrics", trainer),
        (bool(settings.paid_values), ", ".join(settings.paid_values), manager),
        (settings.reward != unset.reward or stage_rewards, "halluc.reward", manager),
        (settings.values.scorer is not None, "halluc.values.scorer", manager),
        (bool(settings.curriculum), "halluc.curriculum", manager),
        (settings.needs_own_engine, "halluc.curriculum" if settings.curriculum else steered, loop),
        (kept, f"halluc.erased_tokens={settings.erased_tokens}", loop),
    )
    for asked, what, (path, name) in needed:
        selected = OmegaConf.select(config, path)
        if asked and selected != name:
            raise SettingsError(
                f"{what} is set, but {path}={selected} knows nothing of it.", f"Set {path}={name}."
            )
    _require_start(config, settings)
    rewards = settings.reward != unset.reward or stage_rewards
    _require_paying_judge(config, (*settings.paid_values, *(["halluc.reward"] if rewards else [])), settings)


def _require_start(config: DictConfig, settings: Settings) -> None:
    """Refuse to hold turns to a model that verl does not ask."""
    asked = "actor_rollout_ref.actor.use_kl_loss", "algorithm.use_kl_in_reward"
    if settings.turns.hold and not any(OmegaConf.select(config, key) for key in asked):
        raise SettingsError(
            f"halluc.turns.hold={settings.turns.hold} holds turns to the model that the run begins with, and "
            "verl keeps no such reference.",
            f"Set {asked[0]}=true actor_rollout_ref.actor.kl_loss_coef=0: it is asked, and its loss is 0.",
        )


def _require_paying_judge(config: DictConfig, paid: tuple[str, ...], settings: Settings) -> None:
    """Refuse values that the reward manager pays if a reward model alone scores answers."""
    if not judged_by_model(config):
        return
    sampled = [] if not settings.samples_continuations else [f"halluc.values.source={settings.values.source}"]
    if paid or sampled:
        raise SettingsError(
            f"{', '.join([*paid, *sampled])} is set, but {REWARD_MODEL}=true lets the model alone score an "
            "answer.",
            f"Give {REWARD_FUNCTION}, a function that asks the model (it gets reward_router_address): its "
            "score is then the outcome, paid beside the rest. Or leave the rest out.",
        )


def require_tolerance(config: DictConfig, settings: Settings) -> None:
    """Refuse that verl replaces failed prompts if the run stops at the first failure."""
    replaces = OmegaConf.select(config, "trainer.v1.sampler.sync_refill_failed_groups")
    if replaces and not settings.failures.tolerated:
        raise SettingsError(
            "trainer.v1.sampler.sync_refill_failed_groups replaces prompts that failed, but with "
            "halluc.failures.tolerated=0 the run stops at the first.",
            "Set ++halluc.failures.tolerated=SHARE: how many of a step's prompts may fail and be replaced.",
        )


def refuse_unknown_edits(config: DictConfig, tokenizer: Any) -> None:
    """Refuse a model with edit tokens if nothing but the reward would apply them.

    Such a run cannot serve as a baseline: its model writes edits that are not applied while it samples.
    """
    from halluc_plugin.tokens import EDIT_TOKENS

    loop = config.actor_rollout_ref.rollout.agent.default_agent_loop
    ours = OmegaConf.select(config, "reward.reward_manager.name") == "backtrack"
    if loop == "backtrack" or not ours:
        return
    known = tokenizer.get_vocab()
    names = ", ".join(token for token in EDIT_TOKENS if token in known)
    if names:
        raise TokenizerError(
            f"{config.actor_rollout_ref.model.path} has {names}, of which the agent loop {loop} knows "
            "nothing; the reward would collapse them.",
            "Give a model without the token (a baseline's is the one before `halluc add-token`, or "
            "fine-tuned from it), or actor_rollout_ref.rollout.agent.default_agent_loop=backtrack, with "
            "++halluc.max_backtracks=0 if edits are to be banned.",
        )
