"""The language of streams of search, which depth-first and breadth-first search share.

    42 61 66:            the state that is searched from: its numbers, and the equations that led there
    66-42=24 61 24       an equation, and the numbers after it
    61 24:66-42=24       another state
    61-24=37,47!         an equation that leaves one number, and the target: they differ
    66-19=47,47=         they are equal, and the stream ends
    !                    no state is left, and the stream ends

They say what the paper's sentences say (current state, exploring, generated, no solution, goal reached);
states are told by their equations and have no numbers of their own.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from halluc_plugin.tasks.countdown.solver import OPERATIONS, Step, write
from halluc_plugin.verifiers.numerals import DIGITS, read_number

Path = tuple[Step, ...]
Numbers = tuple[int, ...]


@dataclass(frozen=True)
class Visit:
    """A state from which the search goes on.

    Attributes:
        numbers: The numbers that are left, in the order in which they are written.
        path: The equations that led there.
    """

    numbers: Numbers
    path: Path

    @property
    def text(self) -> str:
        """The line, without its newline."""
        return f"{' '.join(map(str, self.numbers))}:{','.join(map(write, self.path))}"


@dataclass(frozen=True)
class Explore:
    """An equation that leaves more than one number.

    Attributes:
        step: The equation.
        numbers: The numbers after it.
    """

    step: Step
    numbers: Numbers

    @property
    def text(self) -> str:
        """The line, without its newline."""
        return f"{write(self.step)} {' '.join(map(str, self.numbers))}"


@dataclass(frozen=True)
class Leaf:
    """An equation that leaves one number, which is compared with the target.

    Attributes:
        step: The equation.
        target: The target.
        reached: Whether they are said to be equal.
    """

    step: Step
    target: int
    reached: bool

    @property
    def text(self) -> str:
        """The line, without its newline."""
        return f"{write(self.step)},{self.target}{'=' if self.reached else '!'}"


@dataclass(frozen=True)
class GaveUp:
    """The search is over, and the target was not found."""

    @property
    def text(self) -> str:
        """The line, without its newline."""
        return "!"


Line = Visit | Explore | Leaf | GaveUp

_EQUATION = re.compile(rf"({DIGITS})([-+*/])({DIGITS})=({DIGITS})")
_NUMBERS = rf"{DIGITS}(?: {DIGITS})*"
_STEP = rf"{DIGITS}[-+*/]{DIGITS}={DIGITS}"
_VISIT = re.compile(rf"({_NUMBERS}):({_STEP}(?:,{_STEP})*)?")
_EXPLORE = re.compile(rf"({_STEP}) ({_NUMBERS})")
_LEAF = re.compile(rf"({_STEP}),({DIGITS})([=!])")
_BEGUN = re.compile(rf"[\d :,=!{re.escape(OPERATIONS)}]*")


def text_of(lines: Iterable[Line]) -> str:
    """Return the text of a stream, each line with its newline."""
    return "".join(f"{line.text}\n" for line in lines)


def parse(text: str) -> Line | None:
    """Return the line of a text without newline, right or wrong; None if it has none of the forms."""
    if text == "!":
        return GaveUp()
    if found := _VISIT.fullmatch(text):
        return Visit(_numbers(found[1]), _steps(found[2] or ""))
    if found := _EXPLORE.fullmatch(text):
        return Explore(_steps(found[1])[0], _numbers(found[2]))
    if found := _LEAF.fullmatch(text):
        return Leaf(_steps(found[1])[0], _number(found[2]), found[3] == "=")
    return None


def is_stream(answer: str) -> bool:
    """Return whether an answer is a stream: it begins with a state."""
    return _VISIT.fullmatch(answer.lstrip("\n").split("\n", 1)[0].rstrip()) is not None


def may_begin(text: str) -> bool:
    """Return whether a line may begin so, as far as its signs tell."""
    return _BEGUN.fullmatch(text) is not None


def lines_of(stream: str) -> Iterator[tuple[str, Line | None]]:
    """Yield the lines of a stream up to its end, each with what it says; None where it says nothing.

    As in the paper, what is written behind the first line that claims the target does not count.
    """
    for text in stream.split("\n"):
        if text:
            line = parse(text)
            yield text, line
            if isinstance(line, GaveUp) or (isinstance(line, Leaf) and line.reached):
                return


def path_of(stream: str) -> Path | None:
    """Return the equations by which a stream says that it reached the target, None if it does not say so.

    They are those of the last state before, and the one that reached it, right or wrong.
    """
    path: Path = ()
    for _, line in lines_of(stream):
        if isinstance(line, Visit):
            path = line.path
        elif isinstance(line, Leaf) and line.reached:
            return (*path, line.step)
    return None


def _numbers(text: str) -> Numbers:
    return tuple(map(_number, text.split(" ")))


def _number(text: str) -> int:
    number = read_number(text)
    return -1 if number is None else number  # no such number is ever given or reached


def _steps(text: str) -> Path:
    return tuple(
        (_number(a), operation, _number(b), _number(c)) for a, operation, b, c in _EQUATION.findall(text)
    )
