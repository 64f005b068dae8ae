"""The values of the states that an event left and reached."""

from typing import NamedTuple


class EventValue(NamedTuple):
    """The values around one effective event.

    Attributes:
        before: Value of the state that the event left.
        after: Value of the state that the event reached.
    """

    before: float
    after: float

    @property
    def gain(self) -> float:
        """Δ, the value after the event minus the value before it."""
        return self.after - self.before
