"""The interface of a verifier."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable


class Outcome(StrEnum):
    """The judgement of an answer."""

    CORRECT = "correct"
    WRONG = "wrong"
    """An answer, but not a right one."""
    NO_ANSWER = "no_answer"
    """A text without an answer that could be judged."""


class StepKind(StrEnum):
    """The kind of a step of an answer."""

    LIVE = "live"
    """The goal stays within reach."""
    SLIP = "slip"
    """The rules do not allow it."""
    DEAD = "dead"
    """The rules allow the step, and the goal is out of reach after it; or the step is in dead text."""


@runtime_checkable
class Verifier(Protocol):
    """The interface of a judge of answers.

    Attributes:
        data_sources: The ``data_source`` values of the rows it judges.
    """

    data_sources: tuple[str, ...]

    def verify(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge a resolved answer to ``problem`` (a row's ``reward_model.ground_truth``)."""
        ...


@runtime_checkable
class PrefixVerifier(Verifier, Protocol):
    """The interface of a verifier that judges prefixes, too: the process oracle."""

    def prefix_ok(self, problem: Mapping[str, Any], prefix: str) -> bool:
        """Return whether nothing in ``prefix`` is wrong and a correct answer can still be reached from it."""
        ...


@runtime_checkable
class CanonicalVerifier(Verifier, Protocol):
    """The interface of a verifier that ignores some differences between texts."""

    def canonical(self, answer: str) -> str:
        """Return an answer without ignored differences.

        Equal results are judged alike, whatever the problem.
        """
        ...


@runtime_checkable
class FinalVerifier(Verifier, Protocol):
    """The interface of a verifier that can judge the final result of an answer, whatever its steps."""

    def final_answer(self, answer: str) -> str | None:
        """Return the final result of an answer in canonical form, None if it has none."""
        ...

    def verify_final(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge only the final result of an answer."""
        ...
