"""The verifiers with which published Countdown numbers were measured, faults included.

They serve comparison with those numbers only: nothing trains on them. Both judge equations in order and
require the last result to be the target; neither requires that every number is used. Numbers are read as
everywhere here, in their one canonical form (:mod:`halluc_plugin.verifiers.numerals`).
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from halluc_plugin.tasks.countdown.verifier import CountdownVerifier
from halluc_plugin.verifiers.base import Outcome, Verifier
from halluc_plugin.verifiers.numerals import DIGITS, read_number


class PublishedVerifier(StrEnum):
    """The source of a published verifier."""

    SELF_BACKTRACKING = "self-backtracking"
    """The verifier of the code released with arXiv 2502.04404. Taking an operand takes all its equal copies,
    so that right answers with equal numbers are refused; one copy may be both operands; division drops the
    remainder; text after an equation on its line is ignored."""
    STREAM_OF_SEARCH = "stream-of-search"
    """The verifier of the code released with arXiv 2404.03683, applied to the equations of the answer.
    Nothing is ever used up: it compares numbers with their names, and a number may be used again and
    again."""


_STEP = re.compile(rf"({DIGITS})\s*([-+*/])\s*({DIGITS})\s*=\s*({DIGITS})")


def verify_as_published(which: PublishedVerifier, problem: Mapping[str, Any], answer: str) -> Outcome:
    """Judge an answer, one equation on each line, as a published verifier does.

    Args:
        which: The source of the verifier.
        problem: ``numbers`` (integers) and ``target`` (integer).
        answer: The resolved answer.

    Returns:
        Whether the published verifier finds the answer right, wrong or malformed.
    """
    available, last = [int(number) for number in problem["numbers"]], None
    for line in answer.strip().split("\n"):
        step = _STEP.match(line) if which is PublishedVerifier.SELF_BACKTRACKING else _STEP.fullmatch(line)
        if step is None:
            return Outcome.NO_ANSWER if last is None else Outcome.WRONG
        a, b, last = read_number(step[1]), read_number(step[3]), read_number(step[4])
        if a is None or b is None or last is None:
            return Outcome.WRONG
        if a not in available or b not in available or not _holds(which, a, step[2], b, last):
            return Outcome.WRONG
        if which is PublishedVerifier.SELF_BACKTRACKING:
            available = [number for number in available if number not in {a, b}]
        available.append(last)
    return Outcome.CORRECT if last == int(problem["target"]) else Outcome.WRONG


class AsPublished:
    """A published verifier with the interface of this package's verifiers.

    Args:
        which: The source of the verifier.
    """

    data_sources: tuple[str, ...] = CountdownVerifier.data_sources

    def __init__(self, which: PublishedVerifier) -> None:
        self._which = which

    def verify(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge an answer; see :func:`verify_as_published`."""
        return verify_as_published(self._which, problem, answer)


JUDGES: Mapping[str, Verifier] = {str(which): AsPublished(which) for which in PublishedVerifier}


def _holds(which: PublishedVerifier, a: int, operation: str, b: int, result: int) -> bool:
    if operation == "/":
        if b == 0:
            return False
        return a // b == result if which is PublishedVerifier.SELF_BACKTRACKING else a == b * result
    return {"+": a + b, "-": a - b, "*": a * b}[operation] == result
