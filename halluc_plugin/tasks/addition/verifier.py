"""Judge additions and subtractions; :mod:`halluc_plugin.tasks.addition.problems` describes their form."""

import re
from collections.abc import Mapping
from typing import Any

from halluc_plugin.tasks.addition.problems import SOURCES, reference_steps
from halluc_plugin.verifiers.numerals import NUMERAL
from halluc_plugin.verifiers.unique import UniqueAnswerVerifier

_DIGITS = re.compile(rf"{NUMERAL}( {NUMERAL})*")


class AdditionVerifier(UniqueAnswerVerifier):
    """The exact verifier; ``problem`` holds ``base``, ``operation``, digits ``a`` and ``b``, and ``form``."""

    data_sources: tuple[str, ...] = SOURCES

    def reference(self, problem: Mapping[str, Any]) -> str:
        """Return the text of the columns and the result, or of the result alone."""
        return "".join(reference_steps(problem))

    def final_answer(self, answer: str) -> str | None:
        """Return the digits on the last line, as they are written."""
        last = answer.rstrip().rpartition("\n")[2].strip()
        return last if _DIGITS.fullmatch(last) else None
