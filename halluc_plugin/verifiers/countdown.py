"""Countdown: reach the target with each given number used exactly once.

An answer is a list of equations ``a*b=c``, one a line; each takes two numbers that are still available and
makes its result available. It is correct when one number is left and it is the target. Unlike published
verifiers, equal operands are counted one by one: using one copy leaves the other.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from halluc_plugin.data.countdown_solver import OPERATIONS, apply, reachable
from halluc_plugin.verifiers.base import Outcome

SOURCE = "halluc/countdown"
SOURCE_OF_NEW_TARGETS = "halluc/countdown-new"
"""Of problems whose targets never occur in training: hosts report each source by itself."""

_EQUATION = re.compile(r"(\d+)([-+*/])(\d+)=(\d+)")
# A prefix of an equation, cut anywhere.
_PARTIAL = re.compile(r"(\d+)(?:([-+*/])(?:(\d+)(=(\d+)?)?)?)?")


class CountdownVerifier:
    """The exact judge of Countdown; ``problem`` holds ``numbers`` (integers) and ``target`` (integer)."""

    data_sources: tuple[str, ...] = (SOURCE, SOURCE_OF_NEW_TARGETS)

    def verify(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge an answer; blank lines and spaces are ignored, any other text is no answer."""
        lines = _lines(answer)
        if not lines or not all(_EQUATION.fullmatch(line) for line in lines):
            return Outcome.NO_ANSWER
        left = self._play(problem, lines)
        return Outcome.CORRECT if left == (int(problem["target"]),) else Outcome.WRONG

    def canonical(self, answer: str) -> str:
        """An answer without blank lines and spaces."""
        return "\n".join(_lines(answer))

    def prefix_ok(self, problem: Mapping[str, Any], prefix: str) -> bool:
        """Whether a prefix is free of wrong steps and the target still reachable.

        A line without its newline counts as partial: it may still grow, number and all. It is right if
        some way to finish it is.
        """
        *done, last = prefix.replace(" ", "").split("\n")
        left = self._play(problem, [line for line in done if line])
        if left is None:
            return False
        target = int(problem["target"])
        if not last:
            return reachable(left, target)
        return any(reachable(after, target) for after in _completions(left, last))

    def _play(self, problem: Mapping[str, Any], lines: Sequence[str]) -> tuple[int, ...] | None:
        """Numbers left after the equations, None if one of them is wrong."""
        left = tuple(sorted(int(n) for n in problem["numbers"]))
        for line in lines:
            match = _EQUATION.fullmatch(line)
            if match is None:
                return None
            a, b, c = int(match[1]), int(match[3]), int(match[4])
            rest = _take(left, a, b)
            if rest is None or apply(match[2], a, b) != c:
                return None
            left = tuple(sorted((*rest, c)))
        return left


def _lines(answer: str) -> list[str]:
    return [line for line in answer.replace(" ", "").split("\n") if line]


def _take(numbers: tuple[int, ...], *wanted: int) -> list[int] | None:
    """``numbers`` without one copy of each of ``wanted``, None if a copy is lacking."""
    rest = list(numbers)
    for number in wanted:
        if number not in rest:
            return None
        rest.remove(number)
    return rest


def _completions(left: tuple[int, ...], partial: str) -> list[tuple[int, ...]]:
    """Numbers left after every right equation that begins with ``partial``."""
    if not _PARTIAL.fullmatch(partial):
        return []
    found = []
    for i, a in enumerate(left):
        for j, b in enumerate(left):
            if i == j:
                continue
            for operation in OPERATIONS:
                c = apply(operation, a, b)
                if c is not None and f"{a}{operation}{b}={c}".startswith(partial):
                    rest = [n for k, n in enumerate(left) if k not in (i, j)]
                    found.append(tuple(sorted((*rest, c))))
    return found
