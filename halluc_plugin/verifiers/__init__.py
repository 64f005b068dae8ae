"""Verifiers: exact judges of answers and, where they exist, of prefixes.

Found by the ``data_source`` of a row. Sources that verl scores itself (GSM8K, MATH, ...) are left to it.
"""

from halluc_plugin.verifiers.addition import AdditionVerifier
from halluc_plugin.verifiers.base import FinalVerifier, Outcome, PrefixVerifier, Verifier
from halluc_plugin.verifiers.chain import ChainVerifier
from halluc_plugin.verifiers.countdown import CountdownVerifier
from halluc_plugin.verifiers.dag import DagVerifier
from halluc_plugin.verifiers.oracle import prefix_oracle

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
    "find_verifier",
    "known_sources",
    "prefix_oracle",
]


def find_verifier(data_source: str) -> Verifier | None:
    """The verifier of a data source, None if there is none of ours."""
    return next((verifier for verifier in _VERIFIERS if data_source in verifier.data_sources), None)


def known_sources() -> tuple[str, ...]:
    """All data sources with a verifier of ours."""
    return tuple(source for verifier in _VERIFIERS for source in verifier.data_sources)
