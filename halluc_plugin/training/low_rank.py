"""Fine-tune by low-rank updates (LoRA, arXiv 2106.09685).

A model's weights stay unchanged except for an update of rank r in each projection and, since a new token must
be learned whole, the rows of the edit tokens in each parameter that has a row for each token. The model is
saved as a plain one, with the updates merged.
"""

import json
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version
from transformers import TrainerCallback

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.tokens import vocab_of
from halluc_plugin.tokens.saving import save_model
from halluc_plugin.tokens.tables import token_tables
from halluc_plugin.training.fine_tuning import CHECKPOINTS, devices, fine_tune, last_checkpoint
from halluc_plugin.training.output_bias import TABLE, OutputBias
from halluc_plugin.training.settings import TrainSettings

ADAPTER = "adapter"
OLDEST_PEFT = "0.19"
"""The oldest version of peft that transformers 5.10 accepts."""


def require_peft() -> None:
    """Refuse low-rank updates if the package that makes them is missing or too old.

    Raises:
        SettingsError: peft is missing or too old.
    """
    try:
        found = version("peft")
    except PackageNotFoundError:
        found = ""
    if not found or Version(found) < Version(OLDEST_PEFT):
        raise SettingsError(
            f"Low-rank updates need peft>={OLDEST_PEFT}, and {found or 'none'} is installed.",
            f"Run `pip install 'peft>={OLDEST_PEFT}'` (the extra low-rank of halluc).",
        )


def check_low_rank(rank: int, out: Path) -> None:
    """Refuse settings of a low-rank run that cannot work, before its model is loaded.

    Args:
        rank: Rank of the updates.
        out: Folder for the model.

    Raises:
        SettingsError: peft is missing or too old, the rank is below 1, there is more than one device, or
            ``out`` holds a finished model or an interrupted run that trains all weights.
    """
    require_peft()
    if rank < 1:
        raise SettingsError(f"The rank is {rank}.", "Give at least 1.")
    if devices() > 1:
        raise SettingsError(
            f"{devices()} devices: low-rank updates train on one.",
            "Show one, e.g. by CUDA_VISIBLE_DEVICES=0 and without torchrun, or use verl's trainer "
            "(model.lora_rank).",
        )
    finished = (out / "config.json").exists() and last_checkpoint(out / ADAPTER) is None
    if finished or (out / CHECKPOINTS).exists():
        what = "a model" if finished else "an interrupted run that trains all weights"
        raise SettingsError(f"{out} holds {what}.", "Give another folder, or delete it.")


def fine_tune_low_rank(
    model: Any,
    tokenizer: Any,
    files: Sequence[Path],
    settings: TrainSettings,
    out: Path,
    *,
    rank: int,
    step_delimiter: str = "\n",
    show_progress: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, float]:
    """Train low-rank updates of all projections and the rows of the edit tokens; save the merged model.

    The rows are those of the embeddings, of the output's bias, and of any other parameter with a row for each
    token.

    Args:
        model: A transformers causal language model, which may be of half precision: the trained parameters
            are float32, and rounded to the model's precision when they are merged, in place.
        tokenizer: Its tokenizer, whose ids the files are in.
        files: The trace files.
        settings: How to train.
        out: Folder for the merged model. The updates as they were trained, checkpoints and TensorBoard files
            are in ``out/adapter``.
        rank: Rank of the updates, which are scaled by two.
        step_delimiter: Text that ends a step, for a tokenizer with a step backtrack token.
        show_progress: Whether to show a progress bar.
        callbacks: Further callbacks of the transformers trainer.

    Returns:
        The figures that :func:`halluc_plugin.training.fine_tune` returns.

    Raises:
        DataError: The files are refused by :func:`halluc_plugin.training.fine_tune`.
        SettingsError: The settings are refused by :func:`check_low_rank` or
            :func:`halluc_plugin.training.fine_tune`; an interrupted run in ``out`` had another model, rank or
            edit tokens; a further head of the model has a bias; or peft does not support its layers (Mamba).
    """

    def train(tuned: Any, folder: Path, finish: Callable[[], None]) -> dict[str, float]:
        return fine_tune(
            tuned, tokenizer, files, settings, folder,
            step_delimiter=step_delimiter, show_progress=show_progress, callbacks=callbacks, finish=finish,
        )  # fmt: skip

    return train_low_rank(
        model, tokenizer, train, out, rank=rank, seed=settings.seed, step_delimiter=step_delimiter
    )


def train_low_rank(
    model: Any,
    tokenizer: Any,
    train: Callable[[Any, Path, Callable[[], None]], dict[str, float]],
    out: Path,
    *,
    rank: int,
    seed: int,
    step_delimiter: str = "\n",
) -> dict[str, float]:
    """Wrap a model in low-rank updates, train them by any loss, and save the merged model.

    Args:
        model: The model, as for :func:`fine_tune_low_rank`.
        tokenizer: Its tokenizer.
        train: ``train(tuned, folder, finish)`` trains the wrapped model in a folder, calls ``finish`` before
            it deletes its checkpoints, and returns the figures of the training.
        out: Folder for the merged model.
        rank: Rank of the updates.
        seed: Seed of the updates' first weights.
        step_delimiter: Text that ends a step, for a tokenizer with a step backtrack token.

    Returns:
        What ``train`` returned.

    Raises:
        SettingsError: The settings are refused as by :func:`fine_tune_low_rank`.
    """
    check_low_rank(rank, out)
    from peft import LoraConfig, get_peft_model

    edits = _edit_rows(tokenizer, vocab_of(tokenizer, step_delimiter=step_delimiter))
    bias = OutputBias.take_from(model) if edits else None
    trained = _trained_tables(model, with_bias=bias is not None) if edits else []
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        trainable_token_indices=dict.fromkeys(trained, edits) or None,
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(seed)
    try:
        tuned: Any = get_peft_model(model, config)
    except ValueError as error:
        raise SettingsError(
            f"peft has no low-rank updates for a {type(model).__name__} ({error}).", "Train all weights."
        ) from error
    if bias is not None:
        bias.attach(tuned)
    _refuse_another_run(out, tuned.peft_config["default"].to_dict())

    def merge() -> None:
        merged = tuned.merge_and_unload()
        if bias is not None:
            bias.put_back()
        save_model(merged, tokenizer, out, step_delimiter=step_delimiter)

    return train(tuned, out / ADAPTER, merge)


def _refuse_another_run(out: Path, ours: dict[str, Any]) -> None:
    """Refuse the updates of another run, which peft would load without an error if their shapes fit."""
    checkpoint = last_checkpoint(out / ADAPTER)
    if checkpoint is None:
        return
    theirs = json.loads((Path(checkpoint) / "adapter_config.json").read_text(encoding="utf-8"))
    names = ("rank", "r"), ("model", "base_model_name_or_path"), ("edit tokens", "trainable_token_indices")
    for name, key in names:
        if theirs[key] != ours[key]:
            raise SettingsError(
                f"{out} holds an interrupted run of {name} {theirs[key]}, not {ours[key]}.",
                "Give what it was started with, or another folder.",
            )


def _trained_tables(model: Any, *, with_bias: bool) -> list[str]:
    """Names of the modules whose rows of the edit tokens are trained."""
    tables = token_tables(model)
    biases = [table.name for table in tables if table.name.endswith(".bias")]
    if biases:
        raise SettingsError(
            f"Low-rank updates cannot train a row of {', '.join(biases)}.",
            "Train all weights: leave out --low-rank.",
        )
    return [*(table.module for table in tables), *([TABLE] if with_bias else [])]


def _edit_rows(tokenizer: Any, vocab: EditVocab) -> list[int]:
    """The ids of the edit tokens that a tokenizer has."""
    return sorted(token for token in vocab.edit_ids if token < len(tokenizer))
