"""Apply the edits of a batch of responses and return all facts about them at once.

Three forms give the same answer on every input: the reference stack (:mod:`.stack`), a compiled loop (CPU)
and a vectorised form (CUDA). Tests compare them exhaustively; nothing else derives these facts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cached_property

import torch

from halluc_plugin.edits.vocab import EditVocab
from halluc_plugin.errors import TraceError


class Backend(StrEnum):
    """The form of the semantics that computes the answer; all of them agree on every input."""

    COMPILED = "compiled"
    """One pass over the tokens, compiled by numba; on CPU."""
    VECTORISED = "vectorised"
    """Tensor operations without a loop over time; on any device."""


@dataclass(frozen=True)
class Resolution:
    """The effects of the edits in B responses of width T. Coordinates are those of the rows as given.

    Positions outside ``valid`` hold False, -1 (``parent``, ``event``), 0 (``depth``) or T (``erased_at``).

    Attributes:
        ids: Long[B, T], the actions, as given.
        valid: Bool[B, T], which positions hold an action, as given.
        vocab: The edit vocabulary of the ids.
        is_edit: Bool[B, T], the action is an edit token.
        erased: Bool[B, T], a text token that is not live at the end.
        noop: Bool[B, T], an edit on an empty response.
        erased_at: Long[B, T], index of the edit that erased the token, T if none did.
        parent: Long[B, T], index of the last live token before the action, -1 at the end of the prompt:
            the position whose hidden state produces the action's logits in hard context.
        depth: Long[B, T], number of live tokens before the action.
        event: Long[B, T], number within the row of the run of edits the action belongs to, -1 for text.
    """

    ids: torch.Tensor
    valid: torch.Tensor
    vocab: EditVocab
    is_edit: torch.Tensor
    erased: torch.Tensor
    noop: torch.Tensor
    erased_at: torch.Tensor
    parent: torch.Tensor
    depth: torch.Tensor
    event: torch.Tensor

    @cached_property
    def live(self) -> torch.Tensor:
        """Bool[B, T], text tokens that are left at the end."""
        return self.valid & ~self.is_edit & ~self.erased

    @cached_property
    def raw_length(self) -> torch.Tensor:
        """Long[B], number of actions."""
        return self.valid.sum(1)

    @cached_property
    def resolved_length(self) -> torch.Tensor:
        """Long[B], number of tokens left at the end."""
        return self.live.sum(1)

    @cached_property
    def num_edits(self) -> torch.Tensor:
        """Long[B], number of edit tokens, effective or not."""
        return self.is_edit.sum(1)

    @cached_property
    def num_effective(self) -> torch.Tensor:
        """Long[B], number of edits that erased something."""
        return (self.is_edit & ~self.noop).sum(1)

    @cached_property
    def num_events(self) -> torch.Tensor:
        """Long[B], number of maximal runs of edits."""
        return self.event.amax(1) + 1 if self.event.shape[1] else self.raw_length

    def resolved(self, row: int) -> list[int]:
        """Return the ids of one row that are left after all edits."""
        return self.ids[row][self.live[row]].tolist()

    def live_at(self, row: int, column: int) -> list[int]:
        """Return the ids of one row that are live just before the action at ``column``.

        The width T in place of a column gives those that are live at the end.
        """
        text = self.valid[row, :column] & ~self.is_edit[row, :column]
        return self.ids[row, :column][text & (self.erased_at[row, :column] >= column)].tolist()

    def to(self, device: torch.device | str) -> "Resolution":
        """Return the same resolution on another device."""
        tensors = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "vocab"}
        return replace(self, **tensors)


def resolve(
    ids: torch.Tensor, valid: torch.Tensor, vocab: EditVocab, *, backend: Backend | None = None
) -> Resolution:
    """Apply the edits of a batch of responses.

    Args:
        ids: Integer[B, T], the actions of each response (no prompt), padded on either side with any id.
        valid: Bool[B, T], from the lengths, never from the pad id; one contiguous run per row, possibly
            empty.
        vocab: The edit vocabulary of the ids.
        backend: How to compute it; by default compiled on CPU and vectorised elsewhere.

    Returns:
        The facts, on the device of ``ids``.

    Raises:
        TraceError: Shapes, dtypes, devices, ids or ``valid`` are inconsistent.
    """
    on_cpu = ids.device.type == "cpu"
    if backend is None:
        backend = Backend.COMPILED if on_cpu else Backend.VECTORISED
    elif backend is Backend.COMPILED and not on_cpu:
        raise TraceError(
            f"The compiled form runs on CPU, ids are on {ids.device}.", "Leave backend out, or move them."
        )
    _check(ids, valid)
    ids = ids.long()
    if backend is Backend.COMPILED:
        from halluc_plugin.edits._compiled import resolve_fields
    else:
        from halluc_plugin.edits._vectorised import resolve_fields
    return Resolution(ids=ids, valid=valid, vocab=vocab, **resolve_fields(ids, valid, vocab))


def resolve_row(ids: Sequence[int], vocab: EditVocab) -> Resolution:
    """Resolve one response given as a list, without padding, as a batch of one row.

    Raises:
        TraceError: An id is negative or not an integer.
    """
    # No dtype: torch would cut fractions off. An empty list has none to cut.
    row = torch.tensor([list(ids)]) if len(ids) else torch.empty(1, 0, dtype=torch.long)
    return resolve(row, torch.ones_like(row, dtype=torch.bool), vocab)


def _check(ids: torch.Tensor, valid: torch.Tensor) -> None:
    if ids.ndim != 2 or ids.shape != valid.shape:
        raise TraceError(
            f"ids have shape {tuple(ids.shape)} and valid has {tuple(valid.shape)}.",
            "Pass both as [batch, time] of equal shape.",
        )
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise TraceError(f"ids have dtype {ids.dtype}.", "Pass integer token ids.")
    if valid.dtype != torch.bool:
        raise TraceError(
            f"valid has dtype {valid.dtype}.", "Pass a bool mask, e.g. arange(T) < lengths[:, None]."
        )
    if ids.device != valid.device:
        raise TraceError(f"ids are on {ids.device}, valid on {valid.device}.", "Move both to one device.")
    if not ids.numel():
        return
    negative = (ids < 0) & valid
    if negative.any():
        row, column = (int(i) for i in negative.nonzero()[0])
        raise TraceError(
            f"Row {row} has id {int(ids[row, column])} at valid position {column}.",
            "Mark padding as not valid; ids of actions are at least 0.",
        )
    starts = valid[:, :1].sum(1) + (valid[:, 1:] & ~valid[:, :-1]).sum(1)
    if (starts > 1).any():
        raise TraceError(
            f"valid of row {int((starts > 1).nonzero()[0])} has holes.",
            "Make it one run per row: actions are consecutive, padding is at the sides.",
        )
