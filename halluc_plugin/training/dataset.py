"""Raw traces as batches: ids of prompt and response, labels from the edit semantics."""

from collections.abc import Sequence
from typing import Any

import torch

from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.edits import EditVocab, resolve
from halluc_plugin.edits.builders import IGNORE_INDEX, ErasedTokens, response_mask


class TraceDataset(torch.utils.data.Dataset[TraceRow]):
    """Rows of trace files, by index."""

    def __init__(self, rows: Sequence[TraceRow]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> TraceRow:
        return self._rows[index]


class TraceCollator:
    """Pads traces on the right and labels them.

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
        labels = [
            [IGNORE_INDEX] * len(row.prompt_ids) + row_labels
            for row, row_labels in zip(rows, self._labels(rows), strict=True)
        ]
        ids = [row.prompt_ids + row.response_ids for row in rows]
        return {
            "input_ids": _pad(ids, self._pad_id),
            "attention_mask": _pad([[1] * len(row) for row in ids], 0),
            "labels": _pad(labels, IGNORE_INDEX),
        }

    def _labels(self, rows: Sequence[TraceRow]) -> list[list[int]]:
        responses = [row.response_ids for row in rows]
        ids = _pad(responses, self._pad_id)
        lengths = torch.tensor([len(response) for response in responses])
        resolution = resolve(ids, torch.arange(ids.shape[1]) < lengths[:, None], self._vocab)
        labels = torch.where(response_mask(resolution, self._erased_tokens), ids, IGNORE_INDEX)
        return [row[:length] for row, length in zip(labels.tolist(), lengths.tolist(), strict=True)]


def _pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def vocab_of(tokenizer: Any, *, step_delimiter: str = "\n") -> EditVocab:
    """The edit vocabulary of a tokenizer; one in which nothing edits when it has no edit token."""
    from halluc_plugin.tokens import BACKTRACK_TOKEN, edit_vocab

    if BACKTRACK_TOKEN not in tokenizer.get_vocab():
        return EditVocab(backtrack=len(tokenizer))  # an id that no trace has
    return edit_vocab(tokenizer, step_delimiter=step_delimiter)
