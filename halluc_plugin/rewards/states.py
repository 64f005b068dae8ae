"""Find the states of a trace that can be judged: before and after its events, and after its steps.

A state is named by the column of the action that comes next: in a row without padding on the left, the number
of actions that led to it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from halluc_plugin.edits import Resolution


@dataclass(frozen=True)
class States:
    """The positions of the judged states of one trace.

    Attributes:
        events: For each effective event in order, the states before its first edit and after its last.
        step_ends: The state after each step of the resolved text but the last, which is the answer itself.
    """

    events: tuple[tuple[int, int], ...] = ()
    step_ends: tuple[int, ...] = ()

    def positions(self) -> list[int]:
        """Return all positions once, in ascending order."""
        return sorted({*self.step_ends, *(at for event in self.events for at in event)})


@dataclass(frozen=True)
class Marks:
    """The ids that divide a text.

    Attributes:
        delimiters: Ids that end a step; without any, the whole answer is one step.
        ends: Ids that end the response and belong to no step.
    """

    delimiters: frozenset[int] = frozenset()
    ends: frozenset[int] = frozenset()


WHOLE = Marks()
"""The whole answer is one step."""


def states_of(resolution: "Resolution", row: int, marks: Marks) -> States:
    """Return the states of one row.

    Args:
        resolution: A resolved batch.
        row: Number of the row.
        marks: The ids that end steps and answers.
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
