"""Divide traces into the units that are paid: single actions, or steps and events."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from halluc_plugin.edits import Resolution


class CreditUnits(StrEnum):
    """The actions that get credit."""

    EDITS = "edits"
    """Edits alone, each event for its effect, shared by its edits."""
    ACTIONS = "actions"
    """Every action, text and edits, for what it did to the value of the state."""
    STEPS = "steps"
    """Every action, for what its step or its event did."""


@dataclass(frozen=True)
class Units:
    """The unit of each action.

    Attributes:
        start: Column of the state before the unit, Long[B, T].
        stop: Column of the state after it, Long[B, T].
        first: The first action of each unit, Bool[B, T].
    """

    start: Tensor
    stop: Tensor
    first: Tensor

    def any_of(self, flags: Tensor) -> Tensor:
        """Return for each action whether any action of its unit has a flag, Bool[B, T]."""
        counts = torch.nn.functional.pad(flags.long().cumsum(1), (1, 0))
        return counts.gather(1, self.stop) > counts.gather(1, self.start)


def divide(resolution: "Resolution", places: Sequence[Iterable[int]] | None) -> Units:
    """Return the units of traces.

    Args:
        resolution: B traces of width T, padded on the right.
        places: For each trace the columns of the states between two units, in addition to its first and its
            last; None if each action is a unit. Text that was erased, of which no state is known between the
            last place and the event that erased it, is one unit.

    Returns:
        The units. At padding, start and stop are the state behind the trace.
    """
    width, lengths = resolution.ids.shape[1], resolution.raw_length
    columns = torch.arange(width + 1).expand(len(lengths), -1)
    cuts = torch.full(columns.shape, places is None)
    for row, found in enumerate(places or ()):
        cuts[row, torch.tensor(list(found), dtype=torch.long)] = True
    cuts[:, 0] = True
    cuts |= columns >= lengths[:, None]
    start = torch.where(cuts, columns, 0).cummax(1).values[:, :-1]
    stop = torch.where(cuts, columns, width).flip(1).cummin(1).values.flip(1)[:, 1:]
    start, stop = (torch.minimum(where, lengths[:, None]) for where in (start, stop))
    return Units(start, stop, cuts[:, :-1] & resolution.valid)
