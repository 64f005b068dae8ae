"""Which blocks of keys a block of queries sees, from columns of the tokens, no pair of which is looked at."""

from typing import Any

import torch


def block_mask(seen: torch.Tensor, until: torch.Tensor, size: int) -> Any:
    """The mask of packed rows for flex attention.

    Query q sees key k iff both are ``seen``, k is not behind q, and ``until[k]`` is; and itself. That a key
    is of another row needs no saying: ``until`` is never behind the end of its own.

    Args:
        seen: Bool[N], prompt and text tokens; N is a multiple of ``size``.
        until: Long[N], the position from which on a token is no longer seen.
        size: Tokens in a block.

    Returns:
        A ``BlockMask`` of one row: blocks of which every pair is visible, and blocks that are looked into.
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
