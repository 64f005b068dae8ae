"""Problems that are solved by search: the interface of a search task, and its verifier.

An answer is a list of lines, one for each step. Each step is easy; whether it was a good one shows later. A
state is *dead* if no right answer can be reached from it, and shows a *contradiction* if that can be seen
from the text alone.

An answer may search in words instead of edits: a line :data:`NO` takes back the last line that is left, and
both stay in the text. What counts is the lines that are left at the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from halluc_plugin.verifiers import Outcome, StepKind

StateT = TypeVar("StateT")

NO = "no."
"""The line that takes back a line in words; its point keeps it apart from every line of a task."""


@dataclass(frozen=True)
class SearchStep(Generic[StateT]):
    """A step that a state allows.

    Attributes:
        text: The line of the step, with its newline.
        after: The state after the step.
    """

    text: str
    after: StateT


@dataclass(frozen=True)
class JudgedStep:
    """A step of an answer, as the oracle judges it.

    Attributes:
        kind: The kind of the step.
        contradiction: Whether problem and text show that the state after the step is dead; a slip always
            does.
        branches: Number of dead ends that the state before the step allows, and number of other steps; None
            if that state is dead.
    """

    kind: StepKind
    contradiction: bool
    branches: tuple[int, int] | None


class SearchTask(Protocol[StateT]):
    """The interface of a search task; its states are immutable and know the problem they belong to."""

    def begin(self, problem: Mapping[str, Any]) -> StateT:
        """Return the state of an empty answer.

        Args:
            problem: The ``reward_model.ground_truth`` of a row.

        Raises:
            DataError: The problem is not of this kind, or cannot be solved.
        """
        ...

    def steps(self, state: StateT) -> Sequence[SearchStep[StateT]]:
        """Return every step that the rules allow, dead ends included; none if the answer is complete."""
        ...

    def dead(self, state: StateT) -> bool:
        """Return whether no right answer can be reached from a state, exactly."""
        ...

    def contradiction(self, state: StateT) -> bool:
        """Return whether problem and live text show that the state is dead.

        A dead state without steps always shows it.
        """
        ...

    def well_formed(self, problem: Mapping[str, Any], line: str) -> bool:
        """Return whether a line, without its newline, has the form of an answer's line, right or wrong."""
        ...


def left_of(lines: Sequence[str]) -> list[str] | None:
    """Return the lines that are left where :data:`NO` takes back; None where nothing is left to take back."""
    left: list[str] = []
    for line in lines:
        if line != NO:
            left.append(line)
        elif left:
            left.pop()
        else:
            return None
    return left


class SearchVerifier(Generic[StateT]):
    """The exact verifier of a search task; it accepts any right answer.

    Args:
        search: The search task.
        data_sources: The ``data_source`` values of its rows.
    """

    def __init__(self, search: SearchTask[StateT], data_sources: tuple[str, ...]) -> None:
        self.search, self.data_sources = search, data_sources

    def verify(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge an answer by the lines that :data:`NO` leaves, without blanks and newlines at its end."""
        begin = self.search.begin(problem)
        lines = self.canonical(answer).split("\n")
        if not all(self.search.well_formed(problem, line) for line in lines):
            return Outcome.NO_ANSWER
        state = self._play(begin, lines)
        solved = state is not None and not self.search.dead(state) and not self.search.steps(state)
        return Outcome.CORRECT if solved else Outcome.WRONG

    def canonical(self, answer: str) -> str:
        """Return an answer without blanks and newlines at its end, and without what :data:`NO` takes back."""
        lines = left_of(answer.rstrip().split("\n"))
        return answer.rstrip() if lines is None else "\n".join(lines)

    def prefix_ok(self, problem: Mapping[str, Any], prefix: str) -> bool:
        """Return whether some right answer begins with ``prefix``, which may be cut anywhere.

        As with edits, the lines count that are left, and as if nothing more were taken back.
        """
        if self.verify(problem, prefix) is Outcome.CORRECT:  # with blanks at its end, too
            return True
        *written, last = prefix.split("\n")
        lines = left_of(written)
        if lines is None:
            return False
        if last == NO:
            lines, last = lines[:-1], ""
        state = self._play(self.search.begin(problem), lines)
        if state is None or self.search.dead(state):
            return False
        if not last:
            return True
        candidates = (step for step in self.search.steps(state) if step.text.startswith(last))
        return any(not self.search.dead(step.after) for step in candidates)

    def judge_steps(self, problem: Mapping[str, Any], lines: Sequence[str]) -> list[JudgedStep]:
        """Judge each line of an answer.

        Args:
            problem: The ``reward_model.ground_truth`` of a row.
            lines: The lines, without newlines.

        Returns:
            One judgement for each line; all after the first that is not live are dead.
        """
        state: StateT | None = self.search.begin(problem)
        judged: list[JudgedStep] = []
        alive = True
        for line in lines:
            after = None if state is None else self._play(state, [line])
            branches = self._branches(state) if alive and state is not None else None
            if after is not None and not self.search.dead(after):
                judged.append(JudgedStep(StepKind.LIVE, False, branches))  # noqa: FBT003 - a field
            else:
                slip = alive and after is None
                seen = after is None or self.search.contradiction(after) or not self.search.steps(after)
                judged.append(JudgedStep(StepKind.SLIP if slip else StepKind.DEAD, seen, branches))
                alive = False
            state = after
        return judged

    def _branches(self, state: StateT) -> tuple[int, int]:
        dead = [self.search.dead(step.after) for step in self.search.steps(state)]
        return sum(dead), len(dead) - sum(dead)

    def _play(self, state: StateT, lines: Sequence[str]) -> StateT | None:
        """The state after whole lines, None if one of them is not a step."""
        for line in lines:
            allowed = (step.after for step in self.search.steps(state) if step.text == f"{line}\n")
            found = next(allowed, None)
            if found is None:
                return None
            state = found
        return state
