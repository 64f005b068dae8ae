"""Verifiers: exact judges of answers and, where they exist, of prefixes.

Found by the ``data_source`` of a row. Sources that verl scores itself (GSM8K, MATH, ...) are left to it.
"""

from halluc_plugin.errors import DataError
from halluc_plugin.verifiers.addition import AdditionVerifier
from halluc_plugin.verifiers.base import FinalVerifier, Outcome, PrefixVerifier, Verifier
from halluc_plugin.verifiers.chain import ChainVerifier
from halluc_plugin.verifiers.countdown import CountdownVerifier
from halluc_plugin.verifiers.dag import DagVerifier
from halluc_plugin.verifiers.oracle import prefix_oracle
from halluc_plugin.verifiers.votes import final_vote, whole_vote

_VERIFIERS: tuple[Verifier, ...] = (CountdownVerifier(), AdditionVerifier(), ChainVerifier(), DagVerifier())

__all__ = [
    "AdditionVerifier",
    "ChainVerifier",
    "CountdownVerifier",
    "DagVerifier",
    "FinalVerifier",
    "Outcome",
    "PrefixVerifier",
    "Verifier",
    "final_vote",
    "find_verifier",
    "known_sources",
    "prefix_oracle",
    "require_verifier",
    "whole_vote",
]


def find_verifier(data_source: str) -> Verifier | None:
    """The verifier of a data source, None if there is none of ours."""
    return next((verifier for verifier in _VERIFIERS if data_source in verifier.data_sources), None)


def require_verifier(data_source: str) -> Verifier:
    """The verifier of a data source.

    Raises:
        DataError: There is none of ours.
    """
    verifier = find_verifier(data_source)
    if verifier is None:
        raise DataError(
            f"A row has data_source {data_source!r}, for which there is no verifier.",
            f"Use rows of {', '.join(known_sources())}.",
        )
    return verifier


def known_sources() -> tuple[str, ...]:
    """All data sources with a verifier of ours."""
    return tuple(source for verifier in _VERIFIERS for source in verifier.data_sources)
