"""Make batches from lists: rows of any lengths, padded on the right."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch

from halluc_plugin.edits.resolution import Resolution, resolve
from halluc_plugin.edits.vocab import EditVocab


def pad_rows(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return B rows as ids, Long[B, width] with 0 at padding, and their validity, Bool[B, width]."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    valid = np.arange(lengths.max(initial=0)) < lengths[:, None]
    ids = np.zeros(valid.shape, np.int64)
    ids[valid] = np.fromiter(chain.from_iterable(rows), np.int64, lengths.sum())
    return torch.from_numpy(ids), torch.from_numpy(valid)


def resolve_rows(rows: Sequence[Sequence[int]], vocab: EditVocab) -> Resolution:
    """Resolve responses given as lists of ids, padded on the right.

    Raises:
        TraceError: An id is negative.
    """
    return resolve(*pad_rows(rows), vocab)
