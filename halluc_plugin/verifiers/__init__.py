"""Verifiers: exact judges of answers and, where they exist, of prefixes.

Found by the ``data_source`` of a row. In training, sources that verl scores itself (GSM8K, MATH, ...) are
left to it (:func:`find_verifier`); search and data have GSM8K too (:func:`require_verifier`).
"""

from typing import Any

from halluc_plugin.errors import DataError
from halluc_plugin.verifiers.addition import AdditionVerifier
from halluc_plugin.verifiers.base import CanonicalVerifier, FinalVerifier, Outcome, PrefixVerifier, Verifier
from halluc_plugin.verifiers.chain import ChainVerifier
from halluc_plugin.verifiers.countdown import CountdownVerifier
from halluc_plugin.verifiers.dag import DagVerifier
from halluc_plugin.verifiers.function import (
    VERLS,
    FunctionVerifier,
    load_score,
    read_score,
    scoring,
    scoring_failed,
)
from halluc_plugin.verifiers.gsm8k import Gsm8kVerifier
from halluc_plugin.verifiers.oracle import prefix_oracle
from halluc_plugin.verifiers.truths import never_right, unreadable
from halluc_plugin.verifiers.votes import final_vote, whole_vote

_VERIFIERS: tuple[Verifier, ...] = (CountdownVerifier(), AdditionVerifier(), ChainVerifier(), DagVerifier())
_SCORED_BY_VERL: tuple[Verifier, ...] = (Gsm8kVerifier(),)

__all__ = [
    "VERLS",
    "AdditionVerifier",
    "CanonicalVerifier",
    "ChainVerifier",
    "CountdownVerifier",
    "DagVerifier",
    "FinalVerifier",
    "FunctionVerifier",
    "Gsm8kVerifier",
    "Outcome",
    "PrefixVerifier",
    "Verifier",
    "final_vote",
    "find_verifier",
    "known_sources",
    "load_score",
    "prefix_oracle",
    "read_score",
    "require_verifier",
    "scoring",
    "scoring_failed",
    "truth_fault",
    "whole_vote",
]


def find_verifier(data_source: str) -> Verifier | None:
    """The verifier that scores a data source in training, None where that is left to verl."""
    return _find(data_source, _VERIFIERS)


def _find(data_source: str, verifiers: tuple[Verifier, ...]) -> Verifier | None:
    return next((verifier for verifier in verifiers if data_source in verifier.data_sources), None)


def require_verifier(data_source: str) -> Verifier:
    """The verifier of a data source, wherever its answers come from.

    Raises:
        DataError: There is none of ours.
    """
    verifier = _find(data_source, (*_VERIFIERS, *_SCORED_BY_VERL))
    if verifier is None:
        raise DataError(
            f"A row has data_source {data_source!r}, for which there is no verifier.",
            f"Use rows of {', '.join((*known_sources(), *Gsm8kVerifier.data_sources))}, "
            f"or give a scoring function, such as verl's (--reward-function {VERLS}).",
        )
    return verifier


def known_sources() -> tuple[str, ...]:
    """All data sources that a verifier of ours scores in training."""
    return tuple(source for verifier in _VERIFIERS for source in verifier.data_sources)


def truth_fault(data_source: Any, truth: Any) -> str | None:
    """Why nothing can judge by a row's ground truth, None if nothing is known to speak against it.

    Args:
        data_source: Of the row; verl's own scorer judges what no verifier of ours does.
        truth: The row's ``reward_model.ground_truth``.
    """
    verifier = find_verifier(data_source)
    return never_right(str(data_source), truth) if verifier is None else unreadable(verifier, truth)
