"""What an answer counts as when answers vote: equal votes are one answer, None abstains."""

from collections.abc import Mapping
from typing import Any

from halluc_plugin.verifiers.base import CanonicalVerifier, FinalVerifier, Outcome, Verifier


def whole_vote(verifier: Verifier, problem: Mapping[str, Any], answer: str) -> str | None:
    """The text without what does not count to the verifier; None where there is nothing to judge."""
    if verifier.verify(problem, answer) is Outcome.NO_ANSWER:
        return None
    return verifier.canonical(answer) if isinstance(verifier, CanonicalVerifier) else answer


def final_vote(verifier: Verifier, problem: Mapping[str, Any], answer: str) -> str | None:
    """What the answer comes to where the verifier makes that out, else as :func:`whole_vote`."""
    if isinstance(verifier, FinalVerifier):
        return verifier.final_answer(answer)
    return whole_vote(verifier, problem, answer)
