"""Settings of what single actions are paid, and of who says what a state is worth."""

from dataclasses import dataclass
from enum import StrEnum

from halluc_plugin.errors import SettingsError
from halluc_plugin.settings.refusals import require_finite


class ValueSource(StrEnum):
    """Who judges states on the way to an answer."""

    VERIFIER = "verifier"
    """The verifier of the data source: 1 where a right answer can still be reached, else 0."""
    CONTINUATIONS = "continuations"
    """The policy itself: the share of answers sampled from the state, edits banned, that are right."""


@dataclass(frozen=True)
class ValueSettings:
    """Values of states, read by reward components and by the credit of edits.

    Args:
        source: Who judges.
        continuations: Answers sampled from each state, for ``source=continuations``: from the states before
            and after each event and, if ``process`` is paid, after each step. With 1, the one before the
            first event is the answer's twin that may not backtrack.
    """

    source: ValueSource = ValueSource.VERIFIER
    continuations: int = 4

    def __post_init__(self) -> None:
        if self.continuations < 1:
            raise SettingsError(
                f"halluc.values.continuations is {self.continuations}.", "Give an integer of at least 1."
            )


class CreditValues(StrEnum):
    """Which values the credit of edits compares."""

    JUDGED = "judged"
    """Those of ``halluc.values``."""
    PREFIX_TREE = "prefix_tree"
    """Mean rewards of the group's own answers that passed through a state."""


@dataclass(frozen=True)
class CreditSettings:
    """What edits are paid beside their answer's advantage.

    Args:
        alpha: Each effective event gets ``alpha`` times the value of the state that it reached less that of
            the state that it left, divided over its edits, after group normalisation; 0 pays nothing.
        values: Whose values.
    """

    alpha: float = 0.0
    values: CreditValues = CreditValues.JUDGED

    def __post_init__(self) -> None:
        require_finite("halluc.credit.alpha", self.alpha)
