"""Judge answers that can be given in only one way: an answer is right if it equals the reference."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from halluc_plugin.verifiers.base import Outcome


class UniqueAnswerVerifier(ABC):
    """A verifier of problems whose reference answer is computed, not searched for."""

    data_sources: tuple[str, ...]

    @abstractmethod
    def reference(self, problem: Mapping[str, Any]) -> str:
        """Return the one right answer, with its steps if the problem asks for them."""

    @abstractmethod
    def final_answer(self, answer: str) -> str | None:
        """Return the final result of an answer, whatever its steps; None if it has none."""

    def verify(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge an answer with its steps; blanks and newlines at its end are ignored."""
        if self.canonical(answer) == self.canonical(self.reference(problem)):
            return Outcome.CORRECT
        return Outcome.NO_ANSWER if self.final_answer(answer) is None else Outcome.WRONG

    def canonical(self, answer: str) -> str:
        """Return an answer without blanks and newlines at its end."""
        return answer.rstrip()

    def verify_final(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge only the final result of an answer."""
        final = self.final_answer(answer)
        if final is None:
            return Outcome.NO_ANSWER
        right = final == self.final_answer(self.reference(problem))
        return Outcome.CORRECT if right else Outcome.WRONG

    def prefix_ok(self, problem: Mapping[str, Any], prefix: str) -> bool:
        """Return whether the right answer begins with ``prefix``."""
        reference = self.reference(problem)
        return reference.startswith(prefix) or prefix.rstrip() == reference.rstrip()
