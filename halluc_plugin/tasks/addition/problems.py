"""Draw additions and subtractions digit by digit, in any base.

A digit is written as a decimal number, so that one token is one digit in every base; the digits of a number
are apart by blanks, the most significant first::

    10: 5 0 7 + 2 4 6         base, first number, operation, second number
    7+6+0=3,1                 the last digits and the carry in; their digit and the carry out
    0+4+1=5,0
    5+2+0=7,0
    7 5 3                     the result

A direct answer is the last line alone, as in the task ``add_or_sub_in_base`` on which SequenceMatch is tried
(arXiv 2306.05426, section 4.1). Differences are of the larger number and the smaller; what is carried is then
the borrow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np

from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.files import SEED_HELP
from halluc_plugin.problem_sets.options import option, parts
from halluc_plugin.problem_sets.steps import Form, Problem, ProblemSet, Sizes, check_seed

NAME = "addition"
SOURCES = ("halluc/addition", "halluc/addition-long")
LARGEST_BASE = 400


class AdditionError(StrEnum):
    """The kind of error in a step."""

    DIGIT = "digit"
    """Another digit of the result."""
    CARRY = "carry"
    """A carry that is forgotten, or one that should not be there."""
    OPERAND = "operand"
    """A digit of the neighbouring column, added correctly."""


@dataclass(frozen=True)
class AdditionProblems(ProblemSet):
    """Problems of addition and subtraction.

    Args:
        base: Base of the digits.
        operations: ``+``, ``-`` or both, which are then equally likely.
        form: The content of answers.
        sizes: Number of digits of each number.
        seed: Seed of all random choices.

    Raises:
        SettingsError: A value is out of range.
    """

    name: ClassVar[str] = NAME
    sources: ClassVar[tuple[str, ...]] = SOURCES

    base: int = option(10, "Base of the digits.")
    operations: str = option("+-", "Operations, + or - or both.")
    form: Form = option(Form.STEPS, "Whether answers show their steps, or are direct.", flag="--answer")
    sizes: Sizes = parts(
        Sizes(1, 4, 6),
        smallest="Fewest digits of a number.",
        largest="Most digits in training.",
        longest="Most digits in test_long.",
    )
    seed: int = option(0, SEED_HELP)

    def __post_init__(self) -> None:
        if not 2 <= self.base <= LARGEST_BASE:
            raise SettingsError(f"The base is {self.base}.", f"Give 2 to {LARGEST_BASE}.")
        if not self.operations or set(self.operations) - set("+-"):
            raise SettingsError(f"Operations {self.operations!r}.", "Give +, - or both.")
        check_seed(self.seed)

    @property
    def kinds(self) -> Sequence[AdditionError]:
        """The kinds of error that there are."""
        return list(AdditionError)

    def draw(self, size: int, rng: np.random.Generator) -> Problem:
        """Return a problem of two random numbers of ``size`` digits."""
        a, b = (self._number(size, rng) for _ in range(2))
        operation = self.operations[int(rng.integers(len(self.operations)))]
        if operation == "-" and b > a:
            a, b = b, a
        truth = {"base": self.base, "operation": operation, "a": a, "b": b, "form": str(self.form)}
        prompt = f"{self.base}: {' '.join(map(str, a))} {operation} {' '.join(map(str, b))}\n"
        return Problem(prompt, truth, reference_steps(truth))

    def wrong(self, kind: AdditionError, problem: Problem, step: int, rng: np.random.Generator) -> str | None:
        """Return an error in place of a step; in a result after its steps only digits can be wrong."""
        columns = columns_of(problem.truth)
        if self.form is Form.STEPS and step < len(columns):
            return _wrong_column(kind, columns, step, rng)
        if self.form is Form.DIRECT:
            return self._wrong_digit(kind, problem.steps[step], columns, len(problem.steps) - 1 - step, rng)
        digits = problem.steps[step].split()
        at = int(rng.integers(len(digits)))
        digits[at] = str(_another(int(digits[at]), self.base, rng))
        return " ".join(digits) + "\n" if kind is AdditionError.DIGIT else None

    def _wrong_digit(
        self,
        kind: AdditionError,
        right: str,
        columns: "Sequence[Column]",
        place: int,
        rng: np.random.Generator,
    ) -> str | None:
        """An error in a digit of a direct answer; ``place`` counts from the last digit."""
        if kind is AdditionError.DIGIT:
            wrong = _another(int(right), self.base, rng)
        elif place == len(columns):  # the leading 1 has no column of its own
            return None
        elif kind is AdditionError.CARRY:
            wrong = replace(columns[place], carry_in=1 - columns[place].carry_in).digit
        else:
            wrong = _with_neighbour(columns, place, rng).digit
        return None if wrong == int(right) else f"{wrong}{right[-1]}"

    def _number(self, size: int, rng: np.random.Generator) -> list[int]:
        digits: list[int] = rng.integers(0, self.base, size).tolist()
        if size > 1:
            digits[0] = int(rng.integers(1, self.base))
        return digits


@dataclass(frozen=True)
class Column:
    """Two digits of one place, with the carry or borrow into it.

    Attributes:
        a: Digit of the first number.
        b: Digit of the second number.
        carry_in: The carry or borrow into the place, 0 or 1.
        operation: ``+`` or ``-``.
        base: Base of the digits.
    """

    a: int
    b: int
    carry_in: int
    operation: str
    base: int

    @property
    def total(self) -> int:
        """The result of the column before a carry is taken off."""
        return self.a + self.b + self.carry_in if self.operation == "+" else self.a - self.b - self.carry_in

    @property
    def digit(self) -> int:
        """The digit of the result."""
        return self.total % self.base

    @property
    def carry_out(self) -> int:
        """The carry or borrow into the next column, 0 or 1."""
        return int(not 0 <= self.total < self.base)

    def line(self, *, digit: int | None = None, carry_out: int | None = None) -> str:
        """Return the text of the column; a given digit or carry replaces the right one."""
        shown = self.digit if digit is None else digit
        carried = self.carry_out if carry_out is None else carry_out
        sign = self.operation
        return f"{self.a}{sign}{self.b}{sign}{self.carry_in}={shown},{carried}\n"


def columns_of(truth: Mapping[str, Any]) -> list[Column]:
    """Return the columns of a problem, the last digits first."""
    columns: list[Column] = []
    for a, b in zip(reversed(list(truth["a"])), reversed(list(truth["b"])), strict=True):
        carry = columns[-1].carry_out if columns else 0
        columns.append(Column(int(a), int(b), carry, truth["operation"], int(truth["base"])))
    return columns


def result(truth: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the digits of the result, the most significant first, without leading zeros."""
    columns = columns_of(truth)
    digits = [columns[-1].carry_out, *(column.digit for column in reversed(columns))]
    first = next((i for i, digit in enumerate(digits) if digit), len(digits) - 1)
    return tuple(digits[first:])


def reference_steps(truth: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the reference answer, cut into steps."""
    *leading, last = result(truth)
    digits = (*(f"{digit} " for digit in leading), f"{last}\n")
    if truth["form"] == Form.DIRECT:
        return digits
    return (*(column.line() for column in columns_of(truth)), "".join(digits))


def _wrong_column(
    kind: AdditionError, columns: Sequence[Column], place: int, rng: np.random.Generator
) -> str | None:
    right = columns[place]
    if kind is AdditionError.DIGIT:
        return right.line(digit=_another(right.digit, right.base, rng))
    if kind is AdditionError.CARRY:
        return right.line(carry_out=1 - right.carry_out)
    wrong = _with_neighbour(columns, place, rng)
    return None if wrong == right else wrong.line()


def _with_neighbour(columns: Sequence[Column], place: int, rng: np.random.Generator) -> Column:
    """The column with one of its digits read from a neighbouring column; the same if there is none."""
    beside = [columns[i] for i in (place - 1, place + 1) if 0 <= i < len(columns)]
    if not beside:
        return columns[place]
    other = beside[int(rng.integers(len(beside)))]
    return replace(columns[place], a=other.a) if rng.integers(2) else replace(columns[place], b=other.b)


def _another(digit: int, base: int, rng: np.random.Generator) -> int:
    """A digit that is not ``digit``."""
    return (digit + 1 + int(rng.integers(base - 1))) % base
