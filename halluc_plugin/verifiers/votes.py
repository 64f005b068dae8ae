"""Compute the vote of an answer: answers with equal votes count as one, None abstains."""

from collections.abc import Mapping
from typing import Any

from halluc_plugin.verifiers.base import CanonicalVerifier, FinalVerifier, Outcome, Verifier


def whole_vote(verifier: Verifier, problem: Mapping[str, Any], answer: str) -> str | None:
    """Return the text without the differences that the verifier ignores, None if nothing is left."""
    if verifier.verify(problem, answer) is Outcome.NO_ANSWER:
        return None
    return verifier.canonical(answer) if isinstance(verifier, CanonicalVerifier) else answer


def final_vote(verifier: Verifier, problem: Mapping[str, Any], answer: str) -> str | None:
    """Return the final result of an answer if the verifier finds one, else its :func:`whole_vote`."""
    if isinstance(verifier, FinalVerifier):
        return verifier.final_answer(answer)
    return whole_vote(verifier, problem, answer)
