"""Checks of a composed verl config before any worker starts: each failure is one clear message."""

import warnings
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from halluc_plugin.errors import DataError, SettingsError, TokenizerError

OUR_LOOPS = frozenset({"backtrack", "refine"})


def check_run(config: DictConfig, settings: Any) -> None:
    """Check model, tokenizer and data of a run.

    Args:
        config: The composed verl config, with real paths.
        settings: The parsed ``halluc:`` block.

    Raises:
        TokenizerError: The backtrack agent loop is selected and the tokenizer is not ready for it; or a loop
            that knows no edits is, and the tokenizer has them.
        DataError: A parquet file is missing or malformed.
        SettingsError: Values of states are paid for and nothing judges them, or a setting would be passed
            over.
    """
    tokenizer = _load_tokenizer(config)
    if config.actor_rollout_ref.rollout.agent.default_agent_loop == "backtrack":
        from halluc_plugin.tokens import edit_vocab

        edit_vocab(tokenizer, step_delimiter=settings.tokens.step_delimiter)
    _require_our_parts(config, settings)
    _require_tolerance(config, settings)
    _require_room(config)
    _require_whole_engines(config)
    _require_invariant_kernels(config)
    for path in _paths(config.data.train_files, config.data.val_files):
        rows = _check_file(path, config, tokenizer)
        _require_one_loop(path, rows, config)
        _require_judges(path, {row["data_source"] for row in rows}, config, settings)
    _refuse_unknown_edits(config, tokenizer)


def _refuse_unknown_edits(config: DictConfig, tokenizer: Any) -> None:
    """Refuse a model with edit tokens where nothing but the reward would apply them: no baseline is that."""
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


def _require_our_parts(config: DictConfig, settings: Any) -> None:
    """Refuse settings that the parts of verl which are selected would pass over without a word."""
    from halluc_plugin.edits.builders import ErasedTokens
    from halluc_plugin.rl.answers import shapes_actions
    from halluc_plugin.settings import Settings

    unset = Settings()
    loop = ("actor_rollout_ref.rollout.agent.default_agent_loop", "backtrack")
    manager, trainer = (
        ("reward.reward_manager.name", "backtrack"),
        ("trainer.v1.trainer_mode", "backtrack_sync"),
    )
    shaped = shapes_actions(settings), "halluc.credit.alpha or halluc.erased_tokens=negative"
    steered = "halluc.context=hard, a budget (halluc.max_backtracks) or halluc.boundary=mask"
    kept = settings.erased_tokens is not ErasedTokens.MASK
    stage_rewards = any(stage.weights is not None for stage in settings.curriculum)
    needed = (
        # asked for, by what, which part does it
        (*shaped, trainer),
        (*shaped, loop),
        (settings.failures != unset.failures, "halluc.failures", trainer),
        # Where there is none, switching it off is no mistake.
        (settings.guard != unset.guard and settings.guard.enabled, "halluc.guard", trainer),
        (settings.trace_log != unset.trace_log and settings.trace_log.per_step, "halluc.trace_log", trainer),
        (settings.metrics != unset.metrics and settings.metrics.judged_per_step, "halluc.metrics", trainer),
        (bool(settings.paid_values), ", ".join(settings.paid_values), manager),
        (settings.reward != unset.reward or stage_rewards, "halluc.reward", manager),
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


def _require_one_loop(path: Path, rows: Iterable[Mapping[str, Any]], config: DictConfig) -> None:
    """Refuse rows that choose another agent loop than the run's, of which verl would take the rows' word."""
    loop = config.actor_rollout_ref.rollout.agent.default_agent_loop
    others = {row["agent_name"] for row in rows if "agent_name" in row} - {loop}
    if others and (None in others or not OUR_LOOPS.isdisjoint({loop, *others})):
        raise SettingsError(
            f"{path} has an agent_name column with {', '.join(sorted(map(str, others)))}, and the run's "
            f"agent loop is {loop}: the rows would be sampled without its settings.",
            "Drop the column, or set actor_rollout_ref.rollout.agent.default_agent_loop to what it says.",
        )


def _require_tolerance(config: DictConfig, settings: Any) -> None:
    """Refuse that verl should replace prompts that failed, where the run stops at the first of them."""
    replaces = OmegaConf.select(config, "trainer.v1.sampler.sync_refill_failed_groups")
    ours = OmegaConf.select(config, "trainer.v1.trainer_mode") == "backtrack_sync"
    if ours and replaces and not settings.failures.tolerated:
        raise SettingsError(
            "trainer.v1.sampler.sync_refill_failed_groups replaces prompts that failed, but with "
            "halluc.failures.tolerated=0 the run stops at the first.",
            "Set ++halluc.failures.tolerated=SHARE: how many of a step's prompts may fail and be replaced.",
        )


def _require_room(config: DictConfig) -> None:
    """Refuse an engine that holds less than a prompt and its answer: verl would cut answers off silently."""
    from verl_ext.model_checks import known_model

    length = config.actor_rollout_ref.rollout.max_model_len
    needed = int(config.data.max_prompt_length) + int(config.data.max_response_length)
    positions = getattr(known_model(config.actor_rollout_ref.model), "max_position_embeddings", None)
    sizes = (
        (length, f"actor_rollout_ref.rollout.max_model_len={length}", f"max_model_len={needed}, or "),
        (positions, f"The model, of {positions} positions,", ""),
    )
    for size, what, more in sizes:
        if size is not None and size < needed:
            raise SettingsError(
                f"{what} holds less than data.max_prompt_length + data.max_response_length = {needed}: "
                "longer answers would be cut off.",
                f"Set {'actor_rollout_ref.rollout.' if more else ''}{more}shorter lengths.",
            )


def _require_whole_engines(config: DictConfig) -> None:
    """Refuse devices that cannot be divided among rollout engines, which verl would find out in a worker."""
    rollout, trainer = config.actor_rollout_ref.rollout, config.trainer
    each = prod(int(rollout[f"{what}_parallel_size"]) for what in ("tensor_model", "pipeline_model", "data"))
    devices = int(trainer.nnodes) * int(trainer.n_gpus_per_node)
    # A trainer that keeps its engines on devices of their own does not share them.
    if devices % each and OmegaConf.select(config, "trainer.v1.trainer_mode") != "separate_async":
        raise SettingsError(
            f"{devices} devices (trainer.nnodes times trainer.n_gpus_per_node) cannot be divided among "
            f"rollout engines of {each}.",
            "Set actor_rollout_ref.rollout.tensor_model_parallel_size=1, or to a divisor.",
        )


def _require_invariant_kernels(config: DictConfig) -> None:
    """Refuse full determinism on a CPU, where the engine would die at its first step.

    It sets ``VLLM_BATCH_INVARIANT``, whose kernels are Triton's; tried with vLLM's CPU build 0.28.
    """
    if config.actor_rollout_ref.rollout.full_determinism and config.trainer.device == "cpu":
        raise SettingsError(
            "actor_rollout_ref.rollout.full_determinism=true needs vLLM's batch-invariant kernels, and its "
            "CPU build has none.",
            "Leave it out on a CPU; rollout.seed seeds the engine's stream of random numbers.",
        )


def _require_judges(path: Path, sources: set[str], config: DictConfig, settings: Any) -> None:
    """Refuse to pay for values of states that nobody judges: they would silently be worth nothing."""
    from halluc_plugin.verifiers import PrefixVerifier, find_verifier
    from verl_ext.run_settings import has_reward_function

    loop = config.actor_rollout_ref.rollout.agent.default_agent_loop
    for source in sorted(sources):
        verifier = None if has_reward_function(config) else find_verifier(source)
        sampled = settings.values.sampled_for(verifier)
        if loop == "refine":
            # The first attempt is an answer: whoever scores answers judges it. Steps are no answers.
            if settings.pays_steps and (sampled or not isinstance(verifier, PrefixVerifier)):
                raise SettingsError(
                    f"A reward pays for values after steps, and with the agent loop refine nothing judges "
                    f"those of {source} ({path}).",
                    "Leave halluc.reward.weights.process out, or use data whose verifier judges prefixes, "
                    "with halluc.values.source=verifier.",
                )
            continue
        if sampled and loop != "backtrack":
            raise SettingsError(
                f"halluc.values.source={settings.values.source} values states of {source} by continuations, "
                f"which the agent loop {loop} does not sample.",
                "Set actor_rollout_ref.rollout.agent.default_agent_loop=backtrack, or "
                "++halluc.values.source=verifier and pay the outcome alone.",
            )
        paid = ", ".join(settings.paid_values)
        if paid and not sampled and not isinstance(verifier, PrefixVerifier):
            raise SettingsError(
                f"{paid} pays for values of states, and nothing judges states of {source} ({path}).",
                "Set ++halluc.values.source=auto (answers sampled from each state where no verifier judges), "
                "++halluc.credit.values=prefix_tree for the credit, or pay the outcome alone.",
            )


def _load_tokenizer(config: DictConfig) -> Any:
    from halluc_plugin.tokens.loading import load_tokenizer

    model = config.actor_rollout_ref.model
    return load_tokenizer(
        str(model.get("tokenizer_path") or model.path),
        trust_remote_code=bool(model.get("trust_remote_code", False)),
    )


def _paths(*groups: Any) -> Iterable[Path]:
    for group in groups:
        for path in [group] if isinstance(group, str) else group:
            yield Path(path).expanduser()


def _check_file(path: Path, config: DictConfig, tokenizer: Any) -> list[dict[str, Any]]:
    from halluc_plugin.data.parquet import check_rows

    if not path.exists():
        raise DataError(
            f"{path} does not exist.", "Give a parquet file by data.train_files=... or data.val_files=... ."
        )
    rows = check_rows(path, prompt_key=config.data.prompt_key)
    _warn_long_references(path, rows, int(config.data.max_response_length), tokenizer)
    return rows


def _warn_long_references(path: Path, rows: Any, limit: int, tokenizer: Any) -> None:
    """A reference that cannot fit the response length can never be produced: say how many there are."""
    references = [r["extra_info"]["answer"] for r in rows if (r.get("extra_info") or {}).get("answer")]
    too_long = sum(len(tokenizer.encode(text, add_special_tokens=False)) + 1 > limit for text in references)
    if too_long:
        share = 100 * too_long / len(references)
        warnings.warn(
            f"{path}: {too_long} of {len(references)} references ({share:.1f} %) are longer than "
            f" data.max_response_length={limit} tokens; raise it or drop those rows.",
            stacklevel=2,
        )
