"""What an edit was worth: the values of the states that it left and reached."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Move:
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
