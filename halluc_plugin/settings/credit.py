"""The settings of the credit of single actions, and of the source of the values of states."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from halluc_plugin.credit.sources import CreditValues
from halluc_plugin.errors import SettingsError
from halluc_plugin.refusals import require_finite

if TYPE_CHECKING:
    from halluc_plugin.verifiers import Verifier


class ValueSource(StrEnum):
    """The judge of states on the way to an answer."""

    VERIFIER = "verifier"
    """The verifier of the data source: 1 if a right answer can still be reached, else 0."""
    CONTINUATIONS = "continuations"
    """The policy itself: the share of answers sampled from the state, edits banned, that are right."""
    AUTO = "auto"
    """The verifier if that of the data source judges states, else the policy."""
    PRM = "prm"
    """A scorer of steps: a process reward model, or another one of ``docs/process-rewards.md``."""


@dataclass(frozen=True)
class ValueSettings:
    """Values of states, read by reward components and by the credit of edits.

    Args:
        source: The judge of states.
        continuations: Number of answers sampled from each state if the policy judges: from the states before
            and after each event and, if ``process`` has a weight, after each step. With 1, the one before the
            first event is the answer's twin that may not backtrack.
        scorer: Folder or hub name of the scorer of steps, with ``source=prm``. It reads the live text of an
            answer at each state, up to the last step's end; answers themselves are judged as without it.
    """

    source: ValueSource = ValueSource.VERIFIER
    continuations: int = 4
    scorer: str | None = None

    def __post_init__(self) -> None:
        if (self.source is ValueSource.PRM) != bool(self.scorer):
            raise SettingsError(
                f"halluc.values.source is {self.source} and halluc.values.scorer {self.scorer}.",
                "Give ++halluc.values.scorer=FOLDER with ++halluc.values.source=prm, and neither alone.",
            )
        if self.continuations < 1:
            raise SettingsError(
                f"halluc.values.continuations is {self.continuations}.", "Give an integer of at least 1."
            )

    def sampled_for(self, verifier: "Verifier | None") -> bool:
        """Return whether the states of a problem are judged by answers sampled from them.

        Args:
            verifier: The verifier of the problem; None if a host scores it.
        """
        from halluc_plugin.verifiers import PrefixVerifier

        if self.source is ValueSource.AUTO:
            return not isinstance(verifier, PrefixVerifier)
        return self.source is ValueSource.CONTINUATIONS


@dataclass(frozen=True)
class CreditSettings:
    """The credit of edits in addition to their answer's advantage.

    Args:
        alpha: Each effective event gets ``alpha`` times the value of the state that it reached minus that of
            the state that it left, divided over its edits, after group normalisation; 0 gives no credit.
        values: The source of the values.
    """

    alpha: float = 0.0
    values: CreditValues = CreditValues.JUDGED

    def __post_init__(self) -> None:
        require_finite("halluc.credit.alpha", self.alpha)
