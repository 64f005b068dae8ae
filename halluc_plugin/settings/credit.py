"""The settings of the credit of single actions, and of the source of the values of states."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from halluc_plugin.credit.forms import CreditForm
from halluc_plugin.credit.sources import BY_GROUP, CreditValues
from halluc_plugin.credit.units import CreditUnits
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
    """The credit of single actions; presets are ``halluc/credit=NAME``.

    Args:
        alpha: What is paid, times ``alpha``, comes to the advantages after group normalisation; 0 gives no
            credit.
        values: The source of the values.
        units: Which actions are paid, and for what. An event's pay is divided over its edits with ``edits``;
            otherwise each action of a unit gets all of it.
        form: What a unit is paid: ``siblings`` with ``steps`` and the prefix tree, ``min`` and ``verdict``
            with ``steps`` and judged values, ``q`` with ``actions`` and a Q-function reward model.
        replaces: Whether the credit takes the place of the answer's advantage.
        share: Probability that an action is learned from, drawn for each anew (S-GRPO).
        first: Number of an answer's first actions that are always learned from.
    """

    alpha: float = 0.0
    values: CreditValues = CreditValues.JUDGED
    units: CreditUnits = CreditUnits.EDITS
    form: CreditForm = CreditForm.GAIN
    replaces: bool = False
    share: float = 1.0
    first: int = 0

    def __post_init__(self) -> None:
        require_finite("halluc.credit.alpha", self.alpha)
        if not 0 < self.share <= 1:
            raise SettingsError(
                f"halluc.credit.share is {self.share}.", "Give a probability above 0; 1 keeps every action."
            )
        if self.first < 0:
            raise SettingsError(f"halluc.credit.first is {self.first}.", "Give an integer of at least 0.")
        self._check_form()
        if self.replaces and (not self.alpha or self.units is CreditUnits.EDITS):
            raise SettingsError(
                f"halluc.credit.replaces leaves nothing to most actions with alpha={self.alpha} and "
                f"units={self.units}.",
                "Give ++halluc.credit.alpha=1 and ++halluc.credit.units=actions or steps.",
            )

    def _check_form(self) -> None:
        by_group = self.values in BY_GROUP
        if self.form is CreditForm.Q:
            if self.units is not CreditUnits.ACTIONS or by_group:
                raise SettingsError(
                    "halluc.credit.form=q is the Q of each action by a reward model, and "
                    f"halluc.credit.units is {self.units}, halluc.credit.values {self.values}.",
                    "Set ++halluc.credit.units=actions and ++halluc.credit.values=judged.",
                )
            return
        if self.units is CreditUnits.ACTIONS and not by_group:
            raise SettingsError(
                f"halluc.credit.units=actions pays every action, and halluc.credit.values={self.values} "
                "knows states between steps alone.",
                "Set ++halluc.credit.values=prefix_tree, or ++halluc.credit.units=steps.",
            )
        if self.form is CreditForm.GAIN:
            return
        if self.units is not CreditUnits.STEPS:
            raise SettingsError(
                f"halluc.credit.form={self.form} is of steps, and halluc.credit.units is {self.units}.",
                "Set ++halluc.credit.units=steps, or ++halluc.credit.form=gain.",
            )
        if by_group is not (self.form is CreditForm.SIBLINGS):
            raise SettingsError(
                f"halluc.credit.form={self.form} does not go with halluc.credit.values={self.values}.",
                "siblings are compared by the prefix_tree, min and verdict read judged values.",
            )

    @property
    def judged_steps(self) -> bool:
        """Whether values after steps are read from a judge."""
        return self.divides_steps and self.values not in BY_GROUP

    @property
    def reads_actions(self) -> bool:
        """Whether the value after every action is read from a judge."""
        return bool(self.alpha) and self.form is CreditForm.Q

    @property
    def divides_steps(self) -> bool:
        """Whether steps are paid, so that their ends must be known."""
        return bool(self.alpha) and self.units is CreditUnits.STEPS

    @property
    def pays_all(self) -> bool:
        """Whether text is paid, too."""
        return bool(self.alpha) and self.units is not CreditUnits.EDITS
