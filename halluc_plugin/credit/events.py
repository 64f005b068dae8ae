"""Credit single actions apart from their answer's advantage: edits for their effect, and erased tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from halluc_plugin.credit.event_values import EventValue
from halluc_plugin.errors import TraceError

if TYPE_CHECKING:
    from halluc_plugin.edits import Resolution


def event_credit(
    resolution: "Resolution", event_values: Sequence[Sequence[EventValue]], alpha: float
) -> Tensor:
    """Return ``alpha·Δ`` of each effective event, divided equally over its effective edits.

    Args:
        resolution: B traces of width T.
        event_values: For each trace, the values around its effective events, in order.
        alpha: Units of normalised advantage per unit of value.

    Returns:
        Float[B, T], zero at text, padding and edits that erased nothing; to be added to advantages after
        group normalisation.

    Raises:
        TraceError: A trace does not have as many values as effective events.
    """
    rows, columns = (resolution.is_edit & ~resolution.noop).nonzero(as_tuple=True)
    # Row by row, and in each row event by event: equal numbers are neighbours.
    numbered = rows * resolution.ids.shape[1] + resolution.event[rows, columns]
    first, which, edits = torch.unique_consecutive(numbered, return_inverse=True, return_counts=True)
    of_rows = torch.div(first, max(1, resolution.ids.shape[1]), rounding_mode="floor")
    counts = torch.bincount(of_rows, minlength=len(resolution.ids)).tolist()
    given = [len(row) for row in event_values]
    if given != counts:
        raise TraceError(
            f"The traces have {counts} effective events, but {given} of them have values.",
            "Give every effective event of every trace its value, in order.",
        )
    gains = torch.tensor([value.gain for row in event_values for value in row], dtype=torch.float64)
    credit = torch.zeros(resolution.ids.shape, device=rows.device)
    credit[rows, columns] = (alpha * gains.to(rows.device) / edits)[which].float()
    return credit


def turn_against(advantages: Tensor, erased: Tensor) -> Tensor:
    """Return advantages in which each erased token gets minus the size of its own.

    What was taken back is therefore never encouraged.

    Args:
        advantages: The advantage of each action, Float[B, T].
        erased: Which actions are erased tokens, Bool[B, T].

    Returns:
        The new advantages, Float[B, T]. In a group without contrast nothing changes, as its advantages are 0.

    Raises:
        TraceError: The shapes differ.
    """
    if advantages.shape != erased.shape:
        raise TraceError(
            f"advantages {tuple(advantages.shape)} and erased {tuple(erased.shape)} do not fit.",
            "Pass two tensors [B, T].",
        )
    return torch.where(erased, -advantages.abs(), advantages)
