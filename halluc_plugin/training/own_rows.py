"""What the methods share that train on the model's own responses: their checks, and the drawing."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch

from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.decoding.hf import Steer
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.training.fine_tuning import devices
from halluc_plugin.training.settings import TrainSettings

DECODED_TOGETHER = 256


def require_one_batch(settings: TrainSettings, method: str, why: str) -> None:
    """Refuse batches that are split, and several devices.

    Args:
        settings: How to train.
        method: Name of the method.
        why: What is against parts of a batch.

    Raises:
        SettingsError: A batch would be split.
    """
    if settings.micro_batch_size not in {None, settings.batch_size}:
        raise SettingsError(f"micro_batch_size splits a batch, {why}.", "Use a smaller batch_size.")
    if devices() > 1:
        raise SettingsError(
            f"{devices()} devices: {method} trains on one.",
            "Show one, e.g. by CUDA_VISIBLE_DEVICES=0, and start it without torchrun.",
        )


def refuse_words(rows: Sequence[TraceRow], use: str) -> None:
    """Refuse rows that take back in words.

    Args:
        rows: The rows of the data.
        use: What to do with traces with edit tokens, for the message.

    Raises:
        DataError: A row has a column ``erased``.
    """
    if any(row.erased is not None for row in rows):
        raise DataError(
            "A trace file takes back in words (column erased), which is no action that goes back to a state.",
            f"{use} traces with edit tokens.",
        )


def own_rows(
    model: Any,
    rows: Sequence[TraceRow],
    decoding: Decoding,
    generator: torch.Generator,
    *,
    bf16: bool,
    steer: Steer | None = None,
) -> list[TraceRow]:
    """Let a model in training answer the prompts of some rows.

    Args:
        model: The model; it is in training mode afterwards.
        rows: The rows whose prompts are answered.
        decoding: How the model is sampled.
        generator: The source of randomness.
        bf16: Whether to compute in bfloat16.
        steer: What may take the place of the model at an action (:func:`halluc_plugin.decoding.decode`), by
            the index of the row; None for the model alone.

    Returns:
        A row for each, with the raw trace that was sampled.
    """
    model.eval()
    found = []
    with torch.autocast(model.device.type, torch.bfloat16) if bf16 else nullcontext():
        for start in range(0, len(rows), DECODED_TOGETHER):
            part = rows[start : start + DECODED_TOGETHER]

            def shifted(number: int, live: Sequence[int], start: int = start) -> int | None:
                return None if steer is None else steer(start + number, live)

            traces = decode(
                model,
                [row.prompt_ids for row in part],
                decoding,
                generator=generator,
                steer=None if steer is None else shifted,
            )
            found += [TraceRow(row.prompt_ids, trace.ids) for row, trace in zip(part, traces, strict=True)]
    model.train()
    return found
