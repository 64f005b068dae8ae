"""Tasks by name and by data source."""

from pathlib import Path
from typing import Any

from halluc_plugin.data import parquet
from halluc_plugin.errors import DataError
from halluc_plugin.tasks.addition.verifier import AdditionVerifier
from halluc_plugin.tasks.chain.verifier import ChainVerifier
from halluc_plugin.tasks.countdown.verifier import CountdownVerifier
from halluc_plugin.tasks.dag.verifier import DagVerifier
from halluc_plugin.tasks.gsm8k.verifier import Gsm8kVerifier
from halluc_plugin.verifiers import VERLS, Verifier, never_right, unreadable

_VERIFIERS: tuple[Verifier, ...] = (CountdownVerifier(), AdditionVerifier(), ChainVerifier(), DagVerifier())
_SCORED_BY_VERL: tuple[Verifier, ...] = (Gsm8kVerifier(),)


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


def check_rows(path: Path) -> list[dict[str, Any]]:
    """Check a file of problems for verl, ground truths by the judges of their sources.

    Returns:
        As :func:`halluc_plugin.data.parquet.check_rows`.

    Raises:
        DataError: As there.
    """
    return parquet.check_rows(path, truth_fault=truth_fault)
