"""Judging answers that can be given in one way only: then an answer is right if it is the reference."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from halluc_plugin.verifiers.base import Outcome


class UniqueAnswerVerifier(ABC):
    """A verifier of problems whose reference answer is worked out, not searched."""

    data_sources: tuple[str, ...]

    @abstractmethod
    def reference(self, problem: Mapping[str, Any]) -> str:
        """The one right answer, with its steps where the problem asks for them."""

    @abstractmethod
    def final_answer(self, answer: str) -> str | None:
        """What an answer comes to, whatever its steps; None if nothing can be made out."""

    def verify(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge an answer, steps and all; blanks and newlines at its end do not count."""
        if self.canonical(answer) == self.canonical(self.reference(problem)):
            return Outcome.CORRECT
        return Outcome.NO_ANSWER if self.final_answer(answer) is None else Outcome.WRONG

    def canonical(self, answer: str) -> str:
        """An answer without blanks and newlines at its end."""
        return answer.rstrip()

    def verify_final(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge only what an answer comes to."""
        final = self.final_answer(answer)
        if final is None:
            return Outcome.NO_ANSWER
        right = final == self.final_answer(self.reference(problem))
        return Outcome.CORRECT if right else Outcome.WRONG

    def prefix_ok(self, problem: Mapping[str, Any], prefix: str) -> bool:
        """Whether the right answer begins with ``prefix``."""
        reference = self.reference(problem)
        return reference.startswith(prefix) or prefix.rstrip() == reference.rstrip()
