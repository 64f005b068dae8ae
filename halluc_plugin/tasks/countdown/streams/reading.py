"""Read a stream of search: how it ends, what it visits, and its errors by class (arXiv 2404.03683, appendix).

A line is judged against the state that the stream itself wrote last, so that one error is counted once. The
released code never counts wrong numbers behind an equation, since it only asks whether a set that is never
empty is empty. Here they count.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from halluc_plugin.tasks.countdown.solver import Step, apply
from halluc_plugin.tasks.countdown.streams.lines import (
    Explore,
    GaveUp,
    Leaf,
    Numbers,
    Path,
    Visit,
    lines_of,
)


class StreamError(StrEnum):
    """The class of an error in a line."""

    ARITHMETIC = "arithmetic"
    """The equation does not hold."""
    EXPLORATION = "exploration"
    """A state is searched from that was not found before, or an equation is tried a second time."""
    FORMATTING = "formatting"
    """The line has none of the forms."""
    OTHER = "other"
    """Numbers that are not there, wrong numbers after an equation, another target, or a wrong comparison."""


class End(StrEnum):
    """How a stream ends."""

    CLAIMED = "claimed"
    """It says that it reached the target."""
    GAVE_UP = "gave-up"
    CUT = "cut"
    """It says neither."""


@dataclass
class Stream:
    """What a stream says.

    Attributes:
        end: How it ends.
        errors: Number of lines with an error, by class; a line may have one of each.
        states: The states that it wrote without an error, the root included, each as sorted numbers.
        explored: Number of equations that it tried.
    """

    end: End = End.CUT
    errors: Counter[StreamError] = field(default_factory=Counter)
    states: set[Numbers] = field(default_factory=set)
    explored: int = 0


def read_stream(problem: Mapping[str, Any], text: str) -> Stream:
    """Return what a stream says, and its errors.

    Args:
        problem: ``numbers`` (integers) and ``target`` (integer).
        text: The stream.
    """
    reader = _Reader(tuple(int(number) for number in problem["numbers"]), int(problem["target"]))
    for _, line in lines_of(text):
        if line is None:
            found = {StreamError.FORMATTING}
        elif isinstance(line, GaveUp):
            reader.stream.end, found = End.GAVE_UP, set()
        elif isinstance(line, Visit):
            found = reader.visit(line)
        else:
            found = reader.explore(line)
            if isinstance(line, Leaf) and line.reached:
                reader.stream.end = End.CLAIMED
        reader.stream.errors.update(found)
    return reader.stream


class _Reader:
    """The state of reading: where the search is, and what it has found."""

    def __init__(self, numbers: Numbers, target: int) -> None:
        self.stream = Stream(states={_sorted(numbers)})
        self._target = target
        self._found: dict[Path, Numbers] = {(): _sorted(numbers)}
        self._at, self._path = _sorted(numbers), ()  # type: tuple[int, ...], Path
        self._begun = False

    def visit(self, line: Visit) -> set[StreamError]:
        known = self._found.get(line.path) == _sorted(line.numbers)
        self._at, self._path, self._begun = _sorted(line.numbers), line.path, True
        return set() if known else {StreamError.EXPLORATION}

    def explore(self, line: Explore | Leaf) -> set[StreamError]:
        self.stream.explored += 1
        a, operation, b, result = line.step
        after = _after(self._at, line.step)
        found = set()
        if not _holds(line.step):
            found.add(StreamError.ARITHMETIC)
        elif apply(operation, a, b) != result:
            found.add(StreamError.OTHER)  # right, but no positive integer
        path = (*self._path, line.step)
        if path in self._found or not self._begun:
            found.add(StreamError.EXPLORATION)
        written = _sorted(line.numbers) if isinstance(line, Explore) else (result,)
        wrong = written != after
        if isinstance(line, Leaf):
            wrong |= line.target != self._target or line.reached is not (result == line.target)
        if wrong:
            found.add(StreamError.OTHER)
        self._found.setdefault(path, written)
        if not found:
            self.stream.states.add(written)
        return found


def _after(numbers: Numbers, step: Step) -> Numbers | None:
    """The sorted numbers after an equation, None if an operand is not there."""
    left = list(numbers)
    for operand in (step[0], step[2]):
        if operand not in left:
            return None
        left.remove(operand)
    return _sorted((*left, step[3]))


def _holds(step: Step) -> bool:
    a, operation, b, result = step
    if operation == "/":
        return b != 0 and a == b * result
    return {"+": a + b, "-": a - b, "*": a * b}[operation] == result


def _sorted(numbers: Numbers) -> Numbers:
    return tuple(sorted(numbers))
