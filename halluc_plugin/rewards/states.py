"""Where a trace can be looked at on its way: before and after its events, and after its steps.

A state is named by the column of the action that comes next: in a row without padding on the left, the number
of actions that led to it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from halluc_plugin.edits import Resolution


@dataclass(frozen=True)
class States:
    """Positions of one trace.

    Attributes:
        events: Of each effective event, in order: the states before its first edit and after its last.
        step_ends: After each step of the resolved text but its last, which is the answer itself.
    """

    events: tuple[tuple[int, int], ...] = ()
    step_ends: tuple[int, ...] = ()

    def positions(self) -> list[int]:
        """All of them once, ascending."""
        return sorted({*self.step_ends, *(at for event in self.events for at in event)})


@dataclass(frozen=True)
class Marks:
    """Which ids divide a text.

    Attributes:
        delimiters: They end a step; without any, the whole answer is one step.
        ends: They end the response and belong to no step.
    """

    delimiters: frozenset[int] = frozenset()
    ends: frozenset[int] = frozenset()


WHOLE = Marks()
"""The whole answer is one step."""


def states_of(resolution: "Resolution", row: int, marks: Marks) -> States:
    """The states of one row.

    Args:
        resolution: A resolved batch.
        row: Which of its rows.
        marks: Where steps end.
    """
    from halluc_plugin.edits import row_events

    events: tuple[tuple[int, int], ...] = ()
    if int(resolution.num_edits[row]):
        effective = [event for event in row_events(resolution, row) if event.effective]
        events = tuple((event.start, event.stop) for event in effective)
    live = resolution.live[row].nonzero().flatten().tolist()
    ids = resolution.ids[row].tolist()
    text = [column for column in live if ids[column] not in marks.ends]
    # What follows the last delimiter, or the text that it closes, is the answer's last step.
    return States(events, tuple(column + 1 for column in text[:-1] if ids[column] in marks.delimiters))
