"""Judge what stands behind the given beginning of an answer."""

from collections.abc import Mapping
from typing import Any

from halluc_plugin.verifiers.base import Outcome, PrefixVerifier, Verifier


class ContinuedVerifier:
    """A verifier of what is written behind a beginning of an answer, which is judged with it.

    Args:
        verifier: The verifier of whole answers.
        beginning: Text of the beginning.
    """

    def __init__(self, verifier: Verifier, beginning: str) -> None:
        self.data_sources = verifier.data_sources
        self._verifier, self._beginning = verifier, beginning

    def verify(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge the beginning and the answer behind it as one."""
        return self._verifier.verify(problem, self._beginning + answer)


class _ContinuedPrefixVerifier(ContinuedVerifier):
    """The same of a verifier that judges prefixes, too."""

    def prefix_ok(self, problem: Mapping[str, Any], prefix: str) -> bool:
        """Return whether a right answer can be reached from the beginning and the prefix behind it."""
        assert isinstance(self._verifier, PrefixVerifier)  # as continued() has checked
        return self._verifier.prefix_ok(problem, self._beginning + prefix)


def continued(verifier: Verifier, beginning: str) -> Verifier:
    """Return a verifier of what is written behind a beginning; it judges prefixes if the given one does.

    Args:
        verifier: The verifier of whole answers.
        beginning: Text of the beginning; an empty one changes nothing.
    """
    if not beginning:
        return verifier
    made = _ContinuedPrefixVerifier if isinstance(verifier, PrefixVerifier) else ContinuedVerifier
    return made(verifier, beginning)
