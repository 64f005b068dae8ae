"""What an edit was worth: the values of the states that it left and reached."""

from typing import NamedTuple


class EventValue(NamedTuple):
    """One effective event.

    Attributes:
        before: Value of the state that it left.
        after: Value of the state that it reached.
    """

    before: float
    after: float

    @property
    def gain(self) -> float:
        """Δ: value after minus value before."""
        return self.after - self.before
