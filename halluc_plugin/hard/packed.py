"""Pack a batch of prompts and raw traces into one sequence ``[1, N]``, one row after the other."""

from dataclasses import dataclass
from typing import Any

import torch

from halluc_plugin.edits import Context, Resolution, logit_index, position_ids, tree_columns
from halluc_plugin.hard.blocks import block_mask
from halluc_plugin.hard.packed_attention import PackedMask, RowGroup

MOST_PADDING = 1.1
"""Largest ratio of tokens with padding to tokens in a group of rows, each as wide as the longest."""

BLOCK = 128
"""Number of tokens in a block of flex attention; a sequence is padded to a multiple of it."""


@dataclass(frozen=True)
class PackedInputs:
    """The inputs of a model for packed rows.

    Attributes:
        input_ids: The token ids of all rows, Long[1, N].
        position_ids: The positions, rewound in hard context, Long[1, N].
        attention_mask: A :class:`PackedMask`, or a ``BlockMask`` for flex attention. It is never None, since
            rewound positions would be taken for further rows.
        index: Position among the N tokens of the logits of each valid action, row by row, Long[A].
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    attention_mask: Any
    index: torch.Tensor

    def model_inputs(self) -> dict[str, Any]:
        """Return the keyword arguments for the model."""
        return {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "position_ids": self.position_ids,
        }


def packed_inputs(
    prompt_ids: torch.Tensor,
    prompt_valid: torch.Tensor,
    resolution: Resolution,
    context: Context = Context.HARD,
    *,
    blocks: bool = False,
) -> PackedInputs:
    """Pack prompts and raw traces.

    Args:
        prompt_ids: The token ids of the prompts, Long[B, P], padded on either side.
        prompt_valid: Which positions hold a prompt token, Bool[B, P].
        resolution: The resolution of the B responses of width T.
        context: What an action sees: what was live (hard), or all that is before it (soft).
        blocks: Whether the mask is a ``BlockMask`` for flex attention.

    Returns:
        The packed inputs.

    Raises:
        TraceError: A prompt is empty.
    """
    hard = context is Context.HARD
    valid = torch.cat([prompt_valid, resolution.valid], 1)
    lengths = valid.sum(1)
    # In a row, without its padding, each token has a rank; behind the last stands one for "never".
    ranks = torch.nn.functional.pad(valid.long().cumsum(1) - 1, (0, 1))
    ranks[:, -1] = lengths
    rewound, parents = position_ids(resolution, prompt_valid), logit_index(resolution, prompt_valid)
    readable, until = tree_columns(resolution, prompt_valid)
    layout = _Layout.of(lengths, alone=blocks)
    starts = layout.starts.to(valid.device)[:, None]
    taken = valid.flatten().nonzero()[:, 0]
    places = (starts + ranks[:, :-1]).flatten().index_select(0, taken)

    def packed(values: torch.Tensor) -> torch.Tensor:
        whole = torch.zeros(layout.length, dtype=values.dtype, device=values.device)
        return whole.index_copy_(0, places, values.flatten().index_select(0, taken))

    width = prompt_valid.shape[1]
    read = parents if hard else torch.arange(width, valid.shape[1], device=valid.device).expand_as(parents)
    index = (starts + ranks.gather(1, read) - (0 if hard else 1))[resolution.valid]
    seen = packed(readable if hard else valid)
    ends = ranks.gather(1, until) if hard else lengths[:, None].expand_as(until)
    if blocks:
        mask: Any = block_mask(seen, packed(starts + ends), BLOCK)
    else:
        plain = ~resolution.is_edit.any(1).cpu() if hard else torch.ones(len(lengths), dtype=torch.bool)
        groups = layout.groups(seen, packed(ends), plain)
        mask = PackedMask.of(groups, layout.length, valid.device)
    positions = rewound if hard else ranks[:, :-1]
    return PackedInputs(
        packed(torch.cat([prompt_ids, resolution.ids], 1))[None], packed(positions)[None], mask, index
    )


@dataclass(frozen=True)
class _Layout:
    """The places of the rows in the sequence; each group's rows are as wide as its longest.

    Attributes:
        starts: Long[B], on the CPU.
        length: N.
        members: The rows of each group, in the order in which they lie.
        widths: Width of each group's rows.
    """

    starts: torch.Tensor
    length: int
    members: list[list[int]]
    widths: list[int]

    @classmethod
    def of(cls, lengths: torch.Tensor, *, alone: bool) -> "_Layout":
        """Group rows by length; or all alone, in a sequence of whole blocks."""
        sizes = lengths.tolist()
        members: list[list[int]] = []
        tokens = 0  # of the last group
        for row in sorted(range(len(sizes)), key=lambda row: -sizes[row]):
            tokens += sizes[row]
            with_row = sizes[members[-1][0]] * (len(members[-1]) + 1) if members else 0
            if members and not alone and with_row <= MOST_PADDING * tokens:
                members[-1].append(row)
            else:
                members.append([row])
                tokens = sizes[row]
        widths = [sizes[group[0]] for group in members]
        starts, begin = torch.zeros(len(sizes), dtype=torch.long), 0
        for group, width in zip(members, widths, strict=True):
            for row in group:
                starts[row] = begin
                begin += width
        return cls(starts, -(-begin // BLOCK) * BLOCK if alone else begin, members, widths)

    def groups(self, seen: torch.Tensor, ends: torch.Tensor, plain: torch.Tensor) -> list[RowGroup]:
        """The groups with masks, from columns of the N tokens; ``plain`` (Bool[B]) rows have no edits."""
        found = []
        for rows, width in zip(self.members, self.widths, strict=True):
            group = RowGroup(int(self.starts[rows[0]]), len(rows), width, None)
            if not plain[rows].all():
                columns = (x[group.columns].view(len(rows), width) for x in (seen, ends))
                group.visible = _visible(*columns)
            found.append(group)
        return found


def _visible(seen: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """Bool[G, 1, W, W]: a query sees keys that are text and not erased yet, and itself."""
    # One comparison of narrow numbers makes W x W of them: what nobody sees ends before the first rank, and
    # who sees nobody stands behind the last end.
    rank = torch.arange(seen.shape[1], dtype=torch.int32, device=seen.device)
    until = torch.where(seen, ends, -1).int()
    place = torch.where(seen, rank, seen.shape[1])
    visible = (until[:, None, :] > place[:, :, None]).tril_()
    visible.diagonal(dim1=1, dim2=2).fill_(1)
    return visible[:, None]
