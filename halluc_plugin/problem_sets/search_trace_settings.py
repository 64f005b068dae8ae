"""The form of raw traces of searches: what is noticed and when, how far is taken back, what is remembered.

In soft context a model sees what it has tried, and traces may remember it. In hard context it sees the live
text alone, so what is done in a state must not depend on how it was reached. Traces for hard context have no
memory, and after each of their edits the next action is the same as if nothing had been written before.
"""

from dataclasses import dataclass
from enum import StrEnum

from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.options import option
from halluc_plugin.problem_sets.step_traces import Pairing


class Notice(StrEnum):
    """The point at which a dead end is noticed; a state without steps is always noticed."""

    AT_ONCE = "at-once"
    CONTRADICTION = "contradiction"
    """It is noticed when the live text shows it."""
    LATE = "late"
    """It is noticed a number of steps after it was entered."""


class Back(StrEnum):
    """How far a dead end is taken back."""

    STEP = "step"
    """The last step is taken back, and further steps as long as the remaining text is known to be dead."""
    CHOICE = "choice"
    """It is taken back to the last state from which a right answer can be reached."""
    RESTART = "restart"
    """The whole answer is taken back."""


class SearchEdit(StrEnum):
    """What takes back: edit tokens, or words."""

    TOKEN = "token"  # noqa: S105 - a kind of edit
    """One backtrack for each token."""
    STEP = "step"
    """One step backtrack for each line."""
    RESTART = "restart"
    """One restart."""
    WORDS = "words"
    """A line of words for each line, :data:`halluc_plugin.problem_sets.search.NO`. Nothing is deleted: the
    search is written out, as a stream of search (arXiv 2404.03683)."""


class Memory(StrEnum):
    """Whether earlier tries decide what is tried next."""

    TRIED = "tried"
    """A step that failed is not proposed again, except for a share of repeats."""
    NONE = "none"
    """Each visit of a state is like the first."""


class Proposal(StrEnum):
    """The way in which a step is chosen."""

    RATE = "rate"
    """A step from a live state leads into a dead end by chance."""
    UNIFORM = "uniform"
    """All steps that a state allows are equally likely."""


class TakenBack(StrEnum):
    """The kind of step that was taken back."""

    NEW = "dead_end"
    REPEATED = "repeated"
    """A dead end that had been taken back before."""
    LIVE = "live"
    """A live step that an erring judge took for a dead end."""


@dataclass(frozen=True)
class SearchTraceSettings:
    """The form of search traces.

    Args:
        pairing: How many traces a problem has.
        memory: Whether earlier tries decide what is tried next: ``tried`` for soft context alone, ``none``
            for either context.
        proposal: The way in which a step is chosen.
        rate: With ``proposal=rate``, the probability that a step from a live state leads into a dead end, if
            both are possible.
        notice: The point at which a dead end is noticed.
        late: With ``notice=late``, the number of steps from the one into the dead end to its notice.
        back: How far a dead end is taken back.
        edit: What takes back: edit tokens, or words.
        repeats: With a memory, the probability that a step from a state repeats one that failed there.
            Without such steps, the number of tries would tell that the last one is right.
        tries: Largest number of times that something is taken back in a trace; longer traces are drawn anew.
            In hard context few tries suffice and cost less. In soft context a model can count: at the end of
            the longest traces the last line is always right, and is accepted unchecked. There, allow more
            tries than an answer needs.
        missed: Probability that a dead end that should be noticed is not, so that the trace continues from
            it, or ends there: one minus the detection r of the search law. Traces with more than ``tries``
            are drawn anew and have noticed more than others, so the remaining traces miss more.
        false_alarms: Probability that a live line is taken back: f of the search law.

    Raises:
        SettingsError: A value is out of range, or two values contradict each other.
    """

    pairing: Pairing = option(
        Pairing.SINGLE,
        "single: one trace of each problem; paired: a clean trace of each problem and backtracking ones.",
    )
    memory: Memory = option(
        Memory.TRIED, "Whether what was tried decides what is tried next (tried: for soft context alone)."
    )
    proposal: Proposal = option(Proposal.RATE, "Steps into dead ends: at a rate, or all steps uniform.")
    rate: float = option(
        0.6,
        "Probability that a step leads into a dead end, where it can.",
        flag="--error-rate",
        old=("--rate",),
    )
    notice: Notice = option(Notice.CONTRADICTION, "When a dead end is noticed.")
    late: int = option(1, "Steps from a dead end to its notice, for --notice late.")
    back: Back = option(Back.CHOICE, "How far is taken back.")
    edit: SearchEdit = option(
        SearchEdit.STEP, "What takes back: an edit for each token, step, or restart; or words, and all stays."
    )
    repeats: float = option(0.0, "With a memory, probability to try again what was tried in vain.")
    tries: int = option(16, "Most times that a trace takes back.")
    missed: float = option(0.0, "Probability that a dead end is not noticed: a judge errs.")
    false_alarms: float = option(0.0, "Probability that a live line is taken back: a judge errs.")

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise SettingsError(
                f"The rate of steps into dead ends is {self.rate}.", "Give a probability above 0 and below 1."
            )
        if not 0 <= self.repeats < 1:
            raise SettingsError(
                f"The share of repeats is {self.repeats}.", "Give a probability of at least 0 and below 1."
            )
        for name in ("missed", "false_alarms"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(
                    f"{name} is {getattr(self, name)}.", "Give a probability of at least 0 and below 1."
                )
        for name in ("late", "tries"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}.", "Give an integer of at least 1.")
        if (self.back is Back.RESTART) is not (self.edit is SearchEdit.RESTART):
            raise SettingsError(
                f"What is taken back is {self.back}, and what takes back is {self.edit}.",
                "A restart deletes everything, and nothing else does: give back=restart and edit=restart.",
            )
        if self.memory is Memory.NONE:
            self._check_memoryless()

    def _check_memoryless(self) -> None:
        if self.repeats:
            raise SettingsError(
                f"The share of repeats is {self.repeats}, and nothing is remembered.", "Set it to 0."
            )
        if self.edit is SearchEdit.TOKEN:
            raise SettingsError(
                "Backtracks by token pass through beginnings of lines, from which a memoryless trace would "
                "go on as it did before.",
                "Take back by step or by restart, or remember what was tried.",
            )
        if self.edit is SearchEdit.STEP and self.notice is not Notice.AT_ONCE:
            raise SettingsError(
                f"With notice={self.notice}, step backtracks pass through states in which nothing was "
                "noticed on the way there, and what a memoryless trace does must not depend on the way.",
                "Notice dead ends at once, or take back all by a restart.",
            )
        if self.missed and self.back is Back.CHOICE:
            raise SettingsError(
                "A dead end may be missed, and the way back to the last live state would not be judged again "
                "in each state, as it was on the way there.",
                "Give back=step, or take back all by a restart.",
            )
