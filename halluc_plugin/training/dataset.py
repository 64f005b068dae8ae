"""Turn raw traces into batches: ids of prompt and response, with labels from the edit semantics."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad

from halluc_plugin import moved
from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.edits import EditVocab, Resolution, find_delimiters, resolve
from halluc_plugin.edits.builders import IGNORE_INDEX, ErasedTokens, response_mask
from halluc_plugin.losses.shares import LossClass, LossShares
from halluc_plugin.tokens.ends import end_ids
from halluc_plugin.training.weights import Classes, Weighing

ROWS_AT_ONCE = 512
"""Number of rows that are resolved together when tokens are counted."""


class TraceDataset(torch.utils.data.Dataset[TraceRow]):
    """The rows of trace files, by index."""

    def __init__(self, rows: Sequence[TraceRow]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> TraceRow:
        return self._rows[index]


class TraceCollator:
    """Pads traces on the right and labels them, for a causal forward pass (soft context).

    Args:
        vocab: The edit vocabulary of the ids.
        pad_id: The id at padding; lengths, never this id, tell what is padding.
        erased_tokens: Whether erased tokens are imitated.
        weighing: The weights of imitated tokens in the loss; None if all have the same.
    """

    def __init__(
        self,
        vocab: EditVocab,
        pad_id: int,
        erased_tokens: ErasedTokens,
        *,
        weighing: Weighing | None = None,
    ) -> None:
        self.vocab, self._pad_id, self._erased_tokens = vocab, pad_id, erased_tokens
        self._weighing = weighing

    def __call__(self, rows: Sequence[TraceRow]) -> dict[str, torch.Tensor]:
        """The batch of N rows of at most L tokens.

        Returns:
            ``input_ids``, ``attention_mask`` and ``labels``, Long[N, L]. Labels are aligned with the ids
            (transformers shifts inside its loss) and ``IGNORE_INDEX`` on prompts, padding and whatever is
            not to be imitated. With a weighing also ``weights``, Float[N, L], aligned likewise.
        """
        resolution = self.resolved(rows)
        ids = [row.prompt_ids + row.response_ids for row in rows]
        labels = self.labels(resolution, rows)
        batch = {
            "input_ids": _pad(ids, self._pad_id),
            "attention_mask": _pad([[1] * len(row) for row in ids], 0),
            "labels": _behind_prompts(rows, labels, IGNORE_INDEX),
        }
        weights = self.weights(resolution, labels, rows)
        return batch if weights is None else batch | {"weights": _behind_prompts(rows, weights, 0.0)}

    def resolved(self, rows: Sequence[TraceRow]) -> Resolution:
        """Return the resolution of the responses of N rows, of width T."""
        responses = [row.response_ids for row in rows]
        return resolve(_pad(responses, self._pad_id), _valid(responses), self.vocab)

    def labels(self, resolution: Resolution, rows: Sequence[TraceRow]) -> torch.Tensor:
        """Return the ids to imitate of each response, Long[N, T].

        No other code decides what is imitated.
        """
        imitated = response_mask(resolution, self._erased_tokens)
        if self._erased_tokens is ErasedTokens.MASK:
            imitated &= ~taken_back(resolution, rows)
        return torch.where(imitated, resolution.ids, IGNORE_INDEX)

    def weights(
        self, resolution: Resolution, labels: torch.Tensor, rows: Sequence[TraceRow]
    ) -> torch.Tensor | None:
        """Return the weight of each action in the loss, Float[N, T]; None if all weigh the same."""
        if self._weighing is None:
            return None
        return self._weighing.of(resolution, labels, taken_back(resolution, rows))


def taken_back(resolution: Resolution, rows: Sequence[TraceRow]) -> torch.Tensor:
    """Return which tokens of each response are taken back, by edits or in words, Bool[N, T]."""
    erased = resolution.erased.clone()
    for number, row in enumerate(rows):
        if row.erased is not None:
            erased[number, : len(row.erased)] |= torch.tensor(row.erased)
    return erased


def weighing_of(
    rows: Sequence[TraceRow],
    collator: TraceCollator,
    shares: LossShares,
    tokenizer: Any,
    *,
    step_delimiter: str,
) -> Weighing | None:
    """Return the weights of tokens that give the shares of the loss over all rows, None for no shares.

    Args:
        rows: All rows of the data.
        collator: The collator, which decides what is imitated.
        shares: The shares of the loss.
        tokenizer: The tokenizer of the ids.
        step_delimiter: Text that ends a step.

    Raises:
        DataError: A class of tokens is to have a share, and the rows have no such tokens.
        EditVocabError: No token ends with the delimiter.
    """
    if not shares.given:
        return None
    edits = collator.vocab.edit_ids
    classes = Classes(
        find_delimiters(tokenizer, step_delimiter, edit_ids=edits), end_ids(tokenizer, None, ())
    )
    counts: Counter[LossClass] = Counter()
    for first in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[first : first + ROWS_AT_ONCE]
        resolution = collator.resolved(some)
        members = classes.of(resolution, collator.labels(resolution, some), taken_back(resolution, some))
        counts.update({name: int(member.sum()) for name, member in members.items()})
    return Weighing(classes, shares.weights(counts))


class TreeCollator(TraceCollator):
    """Passes traces on for the trainer to pack; in hard context an action sees the live text alone."""

    def __call__(self, rows: Sequence[TraceRow]) -> dict[str, torch.Tensor]:
        """The batch.

        Returns:
            ``prompt_ids`` and ``response_ids`` (Long[N, P] and [N, T]) with ``prompt_valid`` and
            ``response_valid`` (Bool), and ``labels`` (Long[N, 1 + T]: aligned with the actions behind one
            that is ignored, since the trainer, counting labels, leaves out the first of each row). With a
            weighing also ``weights`` (Float[N, 1 + T]).
        """
        prompts = [row.prompt_ids for row in rows]
        resolution = self.resolved(rows)
        labels = self.labels(resolution, rows)
        weights = self.weights(resolution, labels, rows)
        batch = {
            "prompt_ids": _pad(prompts, self._pad_id),
            "prompt_valid": _valid(prompts),
            "response_ids": resolution.ids,
            "response_valid": resolution.valid,
            "labels": pad(labels, (1, 0), value=IGNORE_INDEX),
        }
        return batch if weights is None else batch | {"weights": pad(weights, (1, 0))}


def _behind_prompts(rows: Sequence[TraceRow], values: torch.Tensor, filling: float) -> torch.Tensor:
    """Values of responses ([N, T]) in the places of prompts and responses ([N, L])."""
    width = max(len(row.prompt_ids) + len(row.response_ids) for row in rows)
    placed = torch.full((len(rows), width), filling, dtype=values.dtype)
    for number, row in enumerate(rows):
        prompt, response = len(row.prompt_ids), len(row.response_ids)
        placed[number, prompt : prompt + response] = values[number, :response]
    return placed


def _pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def _valid(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    lengths = torch.tensor([len(row) for row in rows])
    return torch.arange(int(lengths.max())) < lengths[:, None]


moved.forward(__name__)
