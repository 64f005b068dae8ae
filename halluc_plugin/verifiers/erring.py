"""A judge that errs: a verifier that takes a share of all wrong answers for right ones."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from halluc_plugin.errors import SettingsError
from halluc_plugin.verifiers.base import CanonicalVerifier, Outcome, Verifier


class ErringVerifier:
    """A verifier with false positives, and without false negatives.

    Whether it errs is a fixed property of a problem and an answer: it says the same however often it is
    asked, and of all spellings that its verifier takes for one answer. What it takes for right at one rate it
    takes for right at every higher one. A text without an answer is never taken for a right one.

    Args:
        verifier: The verifier that is right.
        false_positives: Share of wrong answers that are taken for right ones.
        seed: Seed of which answers these are.

    Raises:
        SettingsError: The share is not one.
    """

    def __init__(self, verifier: Verifier, false_positives: float, *, seed: int = 0) -> None:
        if not 0 <= false_positives <= 1:
            raise SettingsError(f"A share of {false_positives} of false positives.", "Give one in [0, 1].")
        self.data_sources = verifier.data_sources
        self._verifier, self._share, self._seed = verifier, false_positives, seed

    def verify(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge a resolved answer, and err in a share of those that are wrong."""
        outcome = self._verifier.verify(problem, answer)
        if outcome is not Outcome.WRONG or self._drawn(problem, answer) >= self._share:
            return outcome
        return Outcome.CORRECT

    def _drawn(self, problem: Mapping[str, Any], answer: str) -> float:
        """A number in [0, 1) that problem and answer decide, as if it were drawn."""
        if isinstance(self._verifier, CanonicalVerifier):
            answer = self._verifier.canonical(answer)
        told = json.dumps([self._seed, problem, answer], sort_keys=True, default=str)
        return int.from_bytes(hashlib.sha256(told.encode()).digest()[:6], "big") / 2**48
