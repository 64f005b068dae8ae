"""Trace files as a data set for verl's SFT trainer: ids as they are, targets from the edit semantics."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from halluc_plugin.data.trace_files import TraceRow, read_traces
from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import IGNORE_INDEX
from halluc_plugin.errors import DataError
from halluc_plugin.settings import Settings, load
from halluc_plugin.tokens import vocab_of
from halluc_plugin.training.dataset import TraceCollator, weighing_of
from halluc_plugin.training.settings import check_imitable


class TraceSFTDataset(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """The rows of trace files, for ``data.custom_cls`` and ``data.pad_mode=no_padding``.

    verl's sampler always shuffles with the same seed, so the rows are put in an order that the run's seed
    decides (``halluc.prepare.seed``).

    Args:
        parquet_files: The path of a file, or of several.
        tokenizer: The tokenizer of the ids.
        config: The ``data`` block of verl, with the run's ``halluc`` block in it.
        processor: It is not used, since traces are text.
        max_samples: Largest number of rows; negative for all.

    Raises:
        DataError: A file is missing or malformed, has another tokenizer's ids, or has a row longer than
            ``data.max_length``.
        SettingsError: The ``halluc`` block is wrong.
        TokenizerError: The tokenizer has an edit token in a form that cannot be used.
    """

    def __init__(
        self,
        parquet_files: str | Sequence[str],
        tokenizer: Any,
        config: DictConfig,
        processor: Any = None,  # noqa: ARG002 - verl's signature
        max_samples: int = -1,
    ) -> None:
        settings = load(config.get("halluc"))
        self._rows = read_checked(parquet_files, tokenizer, int(config.max_length))
        random.Random(settings.prepare.seed).shuffle(self._rows)  # noqa: S311 - not for secrets
        if max_samples >= 0:
            del self._rows[max_samples:]
        self._hard = settings.context is Context.HARD
        self._collate = collator_of(self._rows, tokenizer, settings)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """One row.

        Returns:
            ``input_ids``, ``position_ids`` and ``loss_mask``, Long[L]. The mask is 1 on tokens to imitate, or
            what each weighs (Float[L]); verl shifts it inside its loss, and divides by its sum. In hard
            context also ``prompts`` and ``responses``, the two parts of the ids: our engine lays them out as
            trees.
        """
        row = self._rows[index]
        batch = self._collate([row])  # one row is as wide as it is long: nothing is padded
        ids, imitated = batch["input_ids"][0], batch["labels"][0] != IGNORE_INDEX
        parts = {"prompts": row.prompt_ids, "responses": row.response_ids} if self._hard else {}
        return {
            **{name: torch.tensor(part) for name, part in parts.items()},
            "input_ids": ids,
            "position_ids": torch.arange(len(ids)),
            "loss_mask": batch["weights"][0] if "weights" in batch else imitated.long(),
        }


def collator_of(rows: Sequence[TraceRow], tokenizer: Any, settings: Settings) -> TraceCollator:
    """Return the collator that makes targets and weights, with the loss shares computed over all rows.

    Args:
        rows: All rows that a run trains on, or is tested on.
        tokenizer: The tokenizer of the ids.
        settings: The run's ``halluc`` block.

    Raises:
        SettingsError: The treatment of erased tokens is not possible with a likelihood.
        DataError: A class of tokens is to have a share of the loss, and the rows have none of it.
        TokenizerError: The tokenizer has an edit token in a form that cannot be used.
    """
    check_imitable(settings.erased_tokens, settings.shares)
    delimiter = settings.tokens.step_delimiter
    collating = vocab_of(tokenizer, step_delimiter=delimiter), 0, settings.erased_tokens
    plain = TraceCollator(*collating)
    weighing = weighing_of(rows, plain, settings.shares, tokenizer, step_delimiter=delimiter)
    return TraceCollator(*collating, weighing=weighing)


def read_checked(files: str | Sequence[str], tokenizer: Any, max_length: int) -> list[TraceRow]:
    """Read all rows of trace files, and check their length.

    Args:
        files: The path of a file, or of several.
        tokenizer: The tokenizer of the ids.
        max_length: Largest number of tokens of a prompt with its trace.

    Raises:
        DataError: The files are refused by :class:`TraceSFTDataset`.
    """
    paths = [Path(file).expanduser() for file in ([files] if isinstance(files, str) else files)]
    rows = [row for path in paths for row in read_traces(path, tokenizer)]
    lengths = [len(row.prompt_ids) + len(row.response_ids) for row in rows]
    longer = sum(length > max_length for length in lengths)
    if longer:
        raise DataError(
            f"{longer} of {len(rows)} traces are longer than data.max_length={max_length} tokens with their "
            f"prompt; the longest has {max(lengths)}.",
            "Raise data.max_length, or drop those rows.",
        )
    return rows
