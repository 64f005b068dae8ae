"""Judge GSM8K answers by the last ``#### number``, as verl does in training."""

import re
from collections.abc import Mapping
from typing import Any

from halluc_plugin.verifiers.base import Outcome

SOURCE = "openai/gsm8k"
ANSWER = re.compile(r"#### (-?[0-9.,]+)")
TAIL = 300
"""Number of characters at the end of a text within which an answer is found."""


class Gsm8kVerifier:
    """The strict rule of verl's own scorer for this data source.

    In training verl scores the source; this verifier serves searches, and data made from a model's own
    answers.
    """

    data_sources: tuple[str, ...] = (SOURCE,)

    def verify(self, problem: Mapping[str, Any] | str, answer: str) -> Outcome:
        """Judge an answer; ``problem`` is the number as text, since verl does not take 72 for "72"."""
        found = self.final_answer(answer)
        if found is None:
            return Outcome.NO_ANSWER
        return Outcome.CORRECT if found == problem else Outcome.WRONG

    def verify_final(self, problem: Mapping[str, Any] | str, answer: str) -> Outcome:
        """Judge the final result as :meth:`verify` does; steps are never judged."""
        return self.verify(problem, answer)

    def final_answer(self, answer: str) -> str | None:
        """Return the number of an answer without commas, None if there is none."""
        found = ANSWER.findall(answer[-TAIL:])
        return found[-1].replace(",", "") if found else None
