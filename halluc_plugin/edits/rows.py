"""Make batches from lists: rows of any lengths, padded on the right."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch

from halluc_plugin.edits.resolution import Resolution, resolve
from halluc_plugin.edits.vocab import EditVocab

Rows = Sequence[Sequence[int]] | Sequence[torch.Tensor]


def pad_rows(rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Return B rows as ids, Long[B, width] with 0 at padding, and their validity, Bool[B, width].

    Args:
        rows: Lists of ids, or tensors of ids, Integer[width] each, which are far cheaper where there are
            millions of them.
    """
    tensors = [row for row in rows if isinstance(row, torch.Tensor)]
    if tensors and len(tensors) == len(rows):
        padded = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True)
        sizes = torch.tensor([len(row) for row in tensors], device=padded.device)
        return padded.long(), torch.arange(padded.shape[1], device=padded.device) < sizes[:, None]
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    valid = np.arange(lengths.max(initial=0)) < lengths[:, None]
    ids = np.zeros(valid.shape, np.int64)
    ids[valid] = np.fromiter(chain.from_iterable(rows), np.int64, lengths.sum())
    return torch.from_numpy(ids), torch.from_numpy(valid)


def resolve_rows(rows: Rows, vocab: EditVocab) -> Resolution:
    """Resolve responses given as lists or tensors of ids, padded on the right.

    Raises:
        TraceError: An id is negative.
    """
    return resolve(*pad_rows(rows), vocab)
