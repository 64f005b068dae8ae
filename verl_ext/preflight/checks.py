"""Check a composed verl config before any worker starts; each failure is one clear message."""

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from halluc_plugin.errors import SettingsError
from verl_ext.preflight.judges import require_judges, require_scorers, require_step_scorer
from verl_ext.preflight.models import check_models
from verl_ext.preflight.parts import refuse_unknown_edits, require_our_parts, require_tolerance
from verl_ext.preflight.rows import check_files, data_files
from verl_ext.run_settings import OUR_LOOPS


def check_run(config: DictConfig, settings: Any) -> list[dict[str, Any]]:
    """Check model, tokenizer and data of a run.

    Args:
        config: The composed verl config, with real paths.
        settings: The parsed ``halluc:`` block.

    Returns:
        The rows of all data files.

    Raises:
        TokenizerError: The backtrack agent loop is selected and the tokenizer is not ready for it; a loop
            without edits is selected and the tokenizer has them; a teacher has none; or a scorer of steps is
            missing or made for other steps.
        DataError: A data file is missing or malformed, or nothing scores its answers.
        SettingsError: Values of states have a weight and nothing judges them, a setting would be ignored, or
            the model cannot be trained as asked.
    """
    tokenizer = _load_tokenizer(config)
    if config.actor_rollout_ref.rollout.agent.default_agent_loop == "backtrack":
        from halluc_plugin.tokens import edit_vocab

        edit_vocab(tokenizer, step_delimiter=settings.tokens.step_delimiter)
    if config.actor_rollout_ref.rollout.agent.default_agent_loop == "resets":
        from halluc_plugin.edits import find_delimiters

        find_delimiters(tokenizer, settings.tokens.step_delimiter, edit_ids=frozenset())
    require_our_parts(config, settings)
    require_tolerance(config, settings)
    _require_room(config)
    _require_whole_engines(config)
    _require_invariant_kernels(config)
    files = check_files(config, tokenizer)
    for path, rows in files.items():
        _require_one_loop(path, rows, config)
        sources = {row["data_source"] for row in rows}
        require_scorers(path, sources, config)
        require_judges(path, sources, config, settings)
        if path in data_files(config, "data.train_files"):  # validation pays nobody
            require_step_scorer(path, sources, config, settings, tokenizer)
    refuse_unknown_edits(config, tokenizer)
    check_models(config, settings, tokenizer)
    return [row for rows in files.values() for row in rows]


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


def _require_room(config: DictConfig) -> None:
    """Refuse an engine that holds less than a prompt and its answer: verl would cut answers off silently."""
    from verl_ext.preflight.models import known_model

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


def _load_tokenizer(config: DictConfig) -> Any:
    from halluc_plugin.tokens.loading import load_tokenizer

    model = config.actor_rollout_ref.model
    return load_tokenizer(
        str(model.get("tokenizer_path") or model.path),
        trust_remote_code=bool(model.get("trust_remote_code", False)),
    )
