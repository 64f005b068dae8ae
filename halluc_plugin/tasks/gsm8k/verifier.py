"""GSM8K answers, as verl judges them in training: the last ``#### number`` says it."""

import re
from collections.abc import Mapping
from typing import Any

from halluc_plugin.verifiers.base import Outcome

SOURCE = "openai/gsm8k"
ANSWER = re.compile(r"#### (-?[0-9.,]+)")
TAIL = 300
"""An answer further from the end than so many characters is not seen."""


class Gsm8kVerifier:
    """The rule of verl's own scorer for this source (strict).

    In training verl scores it; this is for search, and for data that are made of a model's own answers.
    """

    data_sources: tuple[str, ...] = (SOURCE,)

    def verify(self, problem: Mapping[str, Any] | str, answer: str) -> Outcome:
        """Judge an answer; ``problem`` is the number, as text: 72 is no "72", as to verl."""
        found = self.final_answer(answer)
        if found is None:
            return Outcome.NO_ANSWER
        return Outcome.CORRECT if found == problem else Outcome.WRONG

    def verify_final(self, problem: Mapping[str, Any] | str, answer: str) -> Outcome:
        """As :meth:`verify`: steps are not judged."""
        return self.verify(problem, answer)

    def final_answer(self, answer: str) -> str | None:
        """The number, without commas."""
        found = ANSWER.findall(answer[-TAIL:])
        return found[-1].replace(",", "") if found else None
