"""What a verifier is."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable


class Outcome(StrEnum):
    """How an answer was judged."""

    CORRECT = "correct"
    WRONG = "wrong"
    """An answer, but not a right one."""
    NO_ANSWER = "no_answer"
    """Nothing that could be judged."""


class StepKind(StrEnum):
    """What a step of an answer is."""

    LIVE = "live"
    """The goal stays within reach."""
    SLIP = "slip"
    """The rules do not allow it."""
    DEAD = "dead"
    """The rules allow it, and the goal is out of reach behind it; or it stands in dead text."""


@runtime_checkable
class Verifier(Protocol):
    """Judges answers.

    Attributes:
        data_sources: The ``data_source`` values of rows it judges.
    """

    data_sources: tuple[str, ...]

    def verify(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge a resolved answer to ``problem`` (a row's ``reward_model.ground_truth``)."""
        ...


@runtime_checkable
class PrefixVerifier(Verifier, Protocol):
    """Judges prefixes too: the process oracle."""

    def prefix_ok(self, problem: Mapping[str, Any], prefix: str) -> bool:
        """Whether nothing in ``prefix`` is wrong and a correct answer can still be reached from it."""
        ...


@runtime_checkable
class CanonicalVerifier(Verifier, Protocol):
    """Says which differences of a text do not count."""

    def canonical(self, answer: str) -> str:
        """An answer without them: equal ones are judged alike, whatever the problem."""
        ...


@runtime_checkable
class FinalVerifier(Verifier, Protocol):
    """Judges also what an answer comes to, whatever its steps."""

    def final_answer(self, answer: str) -> str | None:
        """What an answer comes to, in canonical form; None if nothing can be made out."""
        ...

    def verify_final(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge only what an answer comes to."""
        ...
