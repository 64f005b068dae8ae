"""Judge chains of operations modulo m; :mod:`halluc_plugin.tasks.chain.problems` describes their form."""

import re
from collections.abc import Mapping
from typing import Any

from halluc_plugin.tasks.chain.problems import SOURCES, reference_steps
from halluc_plugin.verifiers.numerals import NUMERAL
from halluc_plugin.verifiers.unique import UniqueAnswerVerifier

_NUMBER = re.compile(NUMERAL)


class ChainVerifier(UniqueAnswerVerifier):
    """The exact verifier; ``problem`` holds ``modulus``, ``start``, ``operations`` and ``form``."""

    data_sources: tuple[str, ...] = SOURCES

    def reference(self, problem: Mapping[str, Any]) -> str:
        """Return one equation on each line, or all results on one line."""
        return "".join(reference_steps(problem))

    def final_answer(self, answer: str) -> str | None:
        """Return the last number, as it is written."""
        numbers = _NUMBER.findall(answer)
        return numbers[-1] if numbers else None
