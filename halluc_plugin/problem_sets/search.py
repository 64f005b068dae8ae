"""Problems that are searched: what a search task is, and the verifier that follows from it.

An answer is a list of lines, one a step; each step is easy, and whether it was a good one shows later. A
state is *dead* when no right answer can be reached from it, and shows a *contradiction* when the text alone
says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from halluc_plugin.verifiers import Outcome, StepKind

StateT = TypeVar("StateT")


@dataclass(frozen=True)
class SearchStep(Generic[StateT]):
    """A step that a state allows.

    Attributes:
        text: The line, with its newline.
        after: The state behind it.
    """

    text: str
    after: StateT


@dataclass(frozen=True)
class JudgedStep:
    """A step of an answer, as the oracle sees it.

    Attributes:
        kind: What it is.
        contradiction: Whether problem and text show that the state behind it is dead; a slip always does.
        branches: How many steps the state before it allows that are dead ends, and how many that are not;
            None where that is dead.
    """

    kind: StepKind
    contradiction: bool
    branches: tuple[int, int] | None


class SearchTask(Protocol[StateT]):
    """What a search is about; states are immutable, and know the problem they belong to."""

    def begin(self, problem: Mapping[str, Any]) -> StateT:
        """The state of an empty answer.

        Args:
            problem: A row's ``reward_model.ground_truth``.

        Raises:
            DataError: It is no problem of this kind, or none that can be solved.
        """
        ...

    def steps(self, state: StateT) -> Sequence[SearchStep[StateT]]:
        """Every step that the rules allow, dead ends included; none where the answer is complete."""
        ...

    def dead(self, state: StateT) -> bool:
        """Whether no right answer can be reached: exact."""
        ...

    def contradiction(self, state: StateT) -> bool:
        """Whether problem and live text show that the state is dead; so does each dead one without steps."""
        ...

    def well_formed(self, problem: Mapping[str, Any], line: str) -> bool:
        """Whether a line, without its newline, is one of an answer, right or wrong."""
        ...


class SearchVerifier(Generic[StateT]):
    """The exact judge of a search task; where several answers are right, it takes any.

    Args:
        search: The task.
        data_sources: The ``data_source`` values of its rows.
    """

    def __init__(self, search: SearchTask[StateT], data_sources: tuple[str, ...]) -> None:
        self.search, self.data_sources = search, data_sources

    def verify(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge an answer; blanks and newlines at its end do not count."""
        begin = self.search.begin(problem)
        lines = self.canonical(answer).split("\n")
        if not all(self.search.well_formed(problem, line) for line in lines):
            return Outcome.NO_ANSWER
        state = self._play(begin, lines)
        solved = state is not None and not self.search.dead(state) and not self.search.steps(state)
        return Outcome.CORRECT if solved else Outcome.WRONG

    def canonical(self, answer: str) -> str:
        """An answer without blanks and newlines at its end."""
        return answer.rstrip()

    def prefix_ok(self, problem: Mapping[str, Any], prefix: str) -> bool:
        """Whether some right answer begins with ``prefix``, which may be cut anywhere."""
        if self.verify(problem, prefix) is Outcome.CORRECT:  # with blanks at its end, too
            return True
        *lines, last = prefix.split("\n")
        state = self._play(self.search.begin(problem), lines)
        if state is None or self.search.dead(state):
            return False
        if not last:
            return True
        candidates = (step for step in self.search.steps(state) if step.text.startswith(last))
        return any(not self.search.dead(step.after) for step in candidates)

    def judge_steps(self, problem: Mapping[str, Any], lines: Sequence[str]) -> list[JudgedStep]:
        """Say of each line of an answer what it is.

        Args:
            problem: A row's ``reward_model.ground_truth``.
            lines: The lines, without newlines.

        Returns:
            As many; all behind the first that is not live are dead.
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
        """The state behind whole lines, None if one of them is no step."""
        for line in lines:
            allowed = (step.after for step in self.search.steps(state) if step.text == f"{line}\n")
            found = next(allowed, None)
            if found is None:
                return None
            state = found
        return state
