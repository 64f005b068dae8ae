"""Raw traces as batches: ids of prompt and response, labels from the edit semantics."""

from collections.abc import Sequence
from typing import Any

import torch

from halluc_plugin import moved
from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.edits import EditVocab, Resolution, resolve
from halluc_plugin.edits.builders import IGNORE_INDEX, ErasedTokens, response_mask
from halluc_plugin.hard import Attention, tree_inputs


class TraceDataset(torch.utils.data.Dataset[TraceRow]):
    """Rows of trace files, by index."""

    def __init__(self, rows: Sequence[TraceRow]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> TraceRow:
        return self._rows[index]


class TraceCollator:
    """Pads traces on the right and labels them, for a causal forward (soft context).

    Args:
        vocab: Which ids edit.
        pad_id: Id to pad with; what is padding is told by lengths, never by this id.
        erased_tokens: Whether erased tokens are imitated.
    """

    def __init__(self, vocab: EditVocab, pad_id: int, erased_tokens: ErasedTokens) -> None:
        self._vocab, self._pad_id, self._erased_tokens = vocab, pad_id, erased_tokens

    def __call__(self, rows: Sequence[TraceRow]) -> dict[str, torch.Tensor]:
        """The batch of N rows of at most L tokens.

        Returns:
            ``input_ids``, ``attention_mask`` and ``labels``, Long[N, L]. Labels are aligned with the ids
            (transformers shifts inside its loss) and ``IGNORE_INDEX`` on prompts, padding and whatever is
            not to be imitated.
        """
        resolution = self.resolved(rows)
        labels = [
            [IGNORE_INDEX] * len(row.prompt_ids) + row_labels[: len(row.response_ids)]
            for row, row_labels in zip(rows, self.labels(resolution, rows).tolist(), strict=True)
        ]
        ids = [row.prompt_ids + row.response_ids for row in rows]
        return {
            "input_ids": _pad(ids, self._pad_id),
            "attention_mask": _pad([[1] * len(row) for row in ids], 0),
            "labels": _pad(labels, IGNORE_INDEX),
        }

    def resolved(self, rows: Sequence[TraceRow]) -> Resolution:
        """The responses of N rows, of width T."""
        responses = [row.response_ids for row in rows]
        return resolve(_pad(responses, self._pad_id), _valid(responses), self._vocab)

    def labels(self, resolution: Resolution, rows: Sequence[TraceRow]) -> torch.Tensor:
        """Long[N, T]: what is imitated of each response; the one place where that is decided."""
        imitated = response_mask(resolution, self._erased_tokens)
        if self._erased_tokens is ErasedTokens.MASK:
            for number, row in enumerate(rows):
                if row.erased is not None:  # taken back in words
                    imitated[number, : len(row.erased)] &= ~torch.tensor(row.erased)
        return torch.where(imitated, resolution.ids, IGNORE_INDEX)


class TreeCollator(TraceCollator):
    """Lays traces out as trees (hard context): each action sees the live text only.

    Args:
        vocab: As above.
        pad_id: As above.
        erased_tokens: As above.
        attention: The model's implementation of attention.
    """

    def __init__(
        self, vocab: EditVocab, pad_id: int, erased_tokens: ErasedTokens, attention: Attention
    ) -> None:
        super().__init__(vocab, pad_id, erased_tokens)
        self._attention = attention

    def __call__(self, rows: Sequence[TraceRow]) -> dict[str, Any]:
        """The batch.

        Returns:
            The arguments of :meth:`halluc_plugin.hard.TreeInputs.model_inputs`, ``logit_index`` (Long[N, T])
            and ``labels`` (Long[N, 1 + T]: aligned with the actions behind one that is ignored, since the
            trainer, counting labels, leaves out the first of each row).
        """
        prompts = [row.prompt_ids for row in rows]
        resolution = self.resolved(rows)
        inputs = tree_inputs(_pad(prompts, self._pad_id), _valid(prompts), resolution, self._attention)
        labels = torch.nn.functional.pad(self.labels(resolution, rows), (1, 0), value=IGNORE_INDEX)
        return {**inputs.model_inputs(), "logit_index": inputs.logit_index, "labels": labels}


def _pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def _valid(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    lengths = torch.tensor([len(row) for row in rows])
    return torch.arange(int(lengths.max())) < lengths[:, None]


moved.forward(__name__)
