"""Batches from lists: rows of any lengths, padded on the right."""

from collections.abc import Sequence

import torch

from halluc_plugin.edits.resolution import Resolution, resolve
from halluc_plugin.edits.vocab import EditVocab


def pad_rows(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (Long[B, width], 0 at padding) and what is valid (Bool[B, width]) of B rows."""
    width = max(map(len, rows), default=0)
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.long)
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
    return ids.reshape(len(rows), width), torch.arange(width) < lengths[:, None]


def resolve_rows(rows: Sequence[Sequence[int]], vocab: EditVocab) -> Resolution:
    """:func:`halluc_plugin.edits.resolve` for responses given as lists.

    Raises:
        TraceError: An id is negative.
    """
    return resolve(*pad_rows(rows), vocab)
