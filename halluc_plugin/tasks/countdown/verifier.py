"""Judge Countdown answers: reach the target with each given number used exactly once.

An answer is a list of equations ``a*b=c``, one on each line; each takes two numbers that are still available
and makes its result available. It is correct when one number is left and it is the target. Unlike published
verifiers, equal operands are counted one by one: using one copy leaves the other. Numbers are written as
:mod:`halluc_plugin.verifiers.numerals` says; blanks may stand between numbers and signs, never in a number.

An answer may also be a stream of search (:mod:`halluc_plugin.tasks.countdown.streams`). It is judged by the
path that it claims, by the same rules: its dead ends do not count, and no number is used twice.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from halluc_plugin.tasks.countdown.solver import OPERATIONS, apply, reachable, write
from halluc_plugin.tasks.countdown.streams.lines import GaveUp, is_stream, may_begin, parse, path_of
from halluc_plugin.verifiers.base import Outcome
from halluc_plugin.verifiers.numerals import DIGITS, read_number

SOURCE = "halluc/countdown"
SOURCE_OF_NEW_TARGETS = "halluc/countdown-new"
"""The source of problems whose targets never occur in training: hosts report each source by itself."""

EQUATION = re.compile(rf"({DIGITS}) *([-+*/]) *({DIGITS}) *= *({DIGITS})")
"""An equation, right or wrong."""

_LOOSE_BLANKS = re.compile(r"(?<!\d) +| +(?!\d| )")


class CountdownVerifier:
    """The exact verifier of Countdown; ``problem`` holds ``numbers`` (integers) and ``target`` (integer)."""

    data_sources: tuple[str, ...] = (SOURCE, SOURCE_OF_NEW_TARGETS)

    def verify(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge an answer; blank lines are ignored, and so are blanks outside of numbers.

        An answer with any other text is malformed, and so is a stream of search that claims no path.
        """
        lines = _lines(self.canonical(answer))
        if not lines or not all(EQUATION.fullmatch(line) for line in lines):
            return Outcome.NO_ANSWER
        left = self._play(problem, lines)
        return Outcome.CORRECT if left == (int(problem["target"]),) else Outcome.WRONG

    def canonical(self, answer: str) -> str:
        """Return an answer without blank lines and blanks outside of numbers; of a stream, its path."""
        path = path_of(answer) if is_stream(answer) else None
        return "\n".join(_lines(answer) if path is None else map(write, path))

    def prefix_ok(self, problem: Mapping[str, Any], prefix: str) -> bool:
        """Return whether a prefix is free of wrong steps and the target still reachable.

        A line without its newline counts as partial: it may still grow, its last number too if no blank
        follows it. It is right if some way to finish it is. A stream of search can reach the target as long
        as its lines are of its language and it has neither ended nor claimed a wrong path.
        """
        if is_stream(prefix):
            return self._stream_ok(problem, prefix)
        if _root(problem).startswith(prefix) and " " in prefix:
            return True  # no equation begins with two numbers
        *done, last = prefix.split("\n")
        left = self._play(problem, _lines("\n".join(done)))
        if left is None:
            return False
        target, partial = int(problem["target"]), _without_blanks(last)
        if not partial:
            return reachable(left, target)
        ended = last.endswith(" ")
        return any(reachable(after, target) for after in _completions(left, partial, ended=ended))

    def _stream_ok(self, problem: Mapping[str, Any], prefix: str) -> bool:
        if path_of(prefix) is not None:
            return self.verify(problem, prefix) is Outcome.CORRECT
        *whole, last = prefix.split("\n")
        said = [parse(line) for line in whole if line]
        return not any(line is None or isinstance(line, GaveUp) for line in said) and may_begin(last)

    def _play(self, problem: Mapping[str, Any], lines: Sequence[str]) -> tuple[int, ...] | None:
        """Numbers left after the equations, None if one of them is wrong."""
        left = tuple(sorted(int(n) for n in problem["numbers"]))
        for line in lines:
            match = EQUATION.fullmatch(line)
            if match is None:
                return None
            a, b, c = read_number(match[1]), read_number(match[3]), read_number(match[4])
            if a is None or b is None or c is None:
                return None
            rest = _take(left, a, b)
            if rest is None or apply(match[2], a, b) != c:
                return None
            left = tuple(sorted((*rest, c)))
        return left


def _root(problem: Mapping[str, Any]) -> str:
    return f"{' '.join(str(int(number)) for number in problem['numbers'])}:"


def _without_blanks(line: str) -> str:
    """A line without blanks, but for those that cut a number in two."""
    return _LOOSE_BLANKS.sub("", line)


def _lines(answer: str) -> list[str]:
    return [line for line in map(_without_blanks, answer.split("\n")) if line]


def _take(numbers: tuple[int, ...], *wanted: int) -> list[int] | None:
    """``numbers`` without one copy of each of ``wanted``, None if a copy is lacking."""
    rest = list(numbers)
    for number in wanted:
        if number not in rest:
            return None
        rest.remove(number)
    return rest


def _completions(left: tuple[int, ...], partial: str, *, ended: bool) -> list[tuple[int, ...]]:
    """Numbers left after every right equation that begins with ``partial``.

    Args:
        left: What is there.
        partial: A line without blanks, cut anywhere.
        ended: Whether a number at its end is whole.
    """
    found = []
    for i, a in enumerate(left):
        for j, b in enumerate(left):
            if i == j:
                continue
            for operation in OPERATIONS:
                c = apply(operation, a, b)
                if c is not None and _begins(f"{a}{operation}{b}={c}", partial, ended=ended):
                    rest = [n for k, n in enumerate(left) if k not in (i, j)]
                    found.append(tuple(sorted((*rest, c))))
    return found


def _begins(equation: str, partial: str, *, ended: bool) -> bool:
    cut_short = ended and partial[-1].isdigit() and equation[len(partial) :][:1].isdigit()
    return equation.startswith(partial) and not cut_short
