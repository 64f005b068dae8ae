"""Compute which blocks of keys a block of queries sees, without looking at pairs of tokens."""

from typing import Any

import torch


def block_mask(seen: torch.Tensor, until: torch.Tensor, size: int) -> Any:
    """Return the mask of packed rows for flex attention.

    Query q sees key k if both are ``seen``, k is not after q, and ``until[k]`` is after q; every query sees
    itself. Keys of other rows need no further condition, as ``until`` never exceeds the end of a key's own
    row.

    Args:
        seen: Which tokens belong to a prompt or are text, Bool[N]; N is a multiple of ``size``.
        until: The position from which on a token is no longer seen, Long[N].
        size: Number of tokens in a block.

    Returns:
        A ``BlockMask`` of one row, which tells blocks in which every pair is visible from those in which only
        some are.
    """
    from torch.nn.attention.flex_attention import BlockMask

    def mask_mod(_row: Any, _head: Any, q: torch.Tensor, kv: torch.Tensor) -> torch.Tensor:
        return (seen[q] & seen[kv] & (until[kv] > q) & (kv <= q)) | (q == kv)

    length = len(seen)
    number = torch.arange(length // size, device=seen.device)
    blocks, ends = seen.view(-1, size), torch.where(seen, until, -1).view(-1, size)
    position = torch.arange(length, device=seen.device).view(-1, size)
    first = torch.where(blocks, position, length).amin(1)  # query of each block
    before, whole = number[:, None] > number, blocks.all(1)
    some = (before & (ends.amax(1) > first[:, None])) | (number[:, None] == number)
    every = before & whole & whole[:, None] & (ends.amin(1) > position[:, -1:])
    partial = some & ~every
    return BlockMask.from_kv_blocks(
        *_listed(partial), *_listed(every), BLOCK_SIZE=size, mask_mod=mask_mod, seq_lengths=(length, length)
    )


def _listed(pairs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How many blocks of keys each block of queries has (Int[1, 1, Q]), and which (Int[1, 1, Q, K])."""
    count = pairs.sum(1, dtype=torch.int32)
    which = pairs.int().argsort(dim=1, descending=True, stable=True).int()
    return count[None, None], which[None, None]
