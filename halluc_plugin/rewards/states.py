"""Find the states of a trace that can be judged: before and after its events, and after its steps.

A state is named by the column of the action that comes next: in a row without padding on the left, the number
of actions that led to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc_plugin.credit.event_values import EventValue
from halluc_plugin.errors import TraceError

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

    def known(
        self, length: int, event_values: Sequence[EventValue], steps: Sequence[float]
    ) -> dict[int, float]:
        """Return the values of the states by position, and that of the answer at ``length``.

        Args:
            length: Number of actions.
            event_values: The values around each effective event, in order.
            steps: The value after each step of the resolved text, the last of them the answer's.

        Raises:
            TraceError: There are more or fewer values than states.
        """
        if len(event_values) != len(self.events) or len(steps) != len(self.step_ends) + 1:
            raise TraceError(
                f"{len(event_values)} events and {len(steps)} steps have values, of {len(self.events)} and "
                f"{len(self.step_ends) + 1}.",
                "Judge answers with the step delimiter and the ends of the run that credits them.",
            )
        around = zip(self.events, event_values, strict=True)
        found = {at: value for event, pair in around for at, value in zip(event, pair, strict=True)}
        found |= dict(zip(self.step_ends, steps[:-1], strict=True))
        return found | {length: steps[-1]}


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
