"""Draw chains of operations modulo m, worked out from left to right.

    3 +4 *7 -2 mod 10      a number and what is done to it, one operation after the other
    3+4=7
    7*7=9
    9-2=7

The task was designed for this package. Every step has one right result, so that each error is known at once,
as error-recovery laws assume. It is not the mod-10 task of OpenReview hJ2BCYGvFg, whose digits count and are
not worked out (:mod:`halluc_plugin.theory.mod10`). A direct answer consists of the results alone, on one
line: ``7 9 7``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np

from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.files import SEED_HELP
from halluc_plugin.problem_sets.options import option, parts
from halluc_plugin.problem_sets.steps import Form, Problem, ProblemSet, Sizes, check_seed

NAME = "chain"
SOURCES = ("halluc/chain", "halluc/chain-long")
LARGEST_MODULUS = 400


class ChainError(StrEnum):
    """The kind of error in a step."""

    RESULT = "result"
    """The right operation with another result."""
    OPERATION = "operation"
    """The operation of the step before or after, worked out correctly."""


@dataclass(frozen=True)
class ChainProblems(ProblemSet):
    """Problems of chains of operations.

    Args:
        modulus: All numbers are below it.
        operations: The operations among ``+``, ``-`` and ``*``, which are equally likely.
        form: The content of answers.
        sizes: Number of operations of a chain.
        seed: Seed of all random choices.

    Raises:
        SettingsError: A value is out of range.
    """

    name: ClassVar[str] = NAME
    sources: ClassVar[tuple[str, ...]] = SOURCES

    modulus: int = option(10, "All numbers are below it.")
    operations: str = option("+-*", "Operations, some of + and - and *.")
    form: Form = option(Form.STEPS, "Whether answers show their steps, or are direct.", flag="--answer")
    sizes: Sizes = parts(
        Sizes(4, 10, 20),
        smallest="Fewest operations of a problem.",
        largest="Most operations in training.",
        longest="Most operations in test_long.",
    )
    seed: int = option(0, SEED_HELP)

    def __post_init__(self) -> None:
        if not 2 <= self.modulus <= LARGEST_MODULUS:
            raise SettingsError(f"The modulus is {self.modulus}.", f"Give 2 to {LARGEST_MODULUS}.")
        if not self.operations or set(self.operations) - set("+-*"):
            raise SettingsError(f"Operations {self.operations!r}.", "Give some of +, - and *.")
        check_seed(self.seed)

    @property
    def kinds(self) -> Sequence[ChainError]:
        """The kinds of error that there are."""
        return list(ChainError)

    def draw(self, size: int, rng: np.random.Generator) -> Problem:
        """Return a random chain of ``size`` operations."""
        start, *operands = rng.integers(0, self.modulus, size + 1).tolist()
        signs = [self.operations[i] for i in rng.integers(0, len(self.operations), size)]
        operations = [f"{sign}{operand}" for sign, operand in zip(signs, operands, strict=True)]
        truth = {"modulus": self.modulus, "start": start, "operations": operations, "form": str(self.form)}
        prompt = f"{start} {' '.join(operations)} mod {self.modulus}\n"
        return Problem(prompt, truth, reference_steps(truth))

    def wrong(self, kind: ChainError, problem: Problem, step: int, rng: np.random.Generator) -> str | None:
        """Return an error in place of a step."""
        truth, operations = problem.truth, problem.truth["operations"]
        before, after = values(truth)[step : step + 2]
        if kind is ChainError.RESULT:
            another = (after + 1 + int(rng.integers(self.modulus - 1))) % self.modulus
            return _step(truth, step, before, operations[step], another)
        beside = [operations[i] for i in (step - 1, step + 1) if 0 <= i < len(operations)]
        if not beside:
            return None
        operation = beside[int(rng.integers(len(beside)))]
        wrong = _step(truth, step, before, operation, apply(operation, before, self.modulus))
        return None if wrong == problem.steps[step] else wrong


def apply(operation: str, value: int, modulus: int) -> int:
    """Return the result of an operation such as ``*7`` on a value, modulo ``modulus``."""
    sign, operand = operation[0], int(operation[1:])
    results = {"+": value + operand, "-": value - operand, "*": value * operand}
    return results[sign] % modulus


def values(truth: Mapping[str, Any]) -> list[int]:
    """Return the number before the first operation and after each one."""
    found = [int(truth["start"])]
    for operation in truth["operations"]:
        found.append(apply(operation, found[-1], int(truth["modulus"])))
    return found


def reference_steps(truth: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the reference answer, cut into steps."""
    found = values(truth)
    return tuple(
        _step(truth, step, found[step], operation, found[step + 1])
        for step, operation in enumerate(truth["operations"])
    )


def _step(truth: Mapping[str, Any], step: int, before: int, operation: str, after: int) -> str:
    if truth["form"] == Form.STEPS:
        return f"{before}{operation}={after}\n"
    return f"{after}\n" if step + 1 == len(truth["operations"]) else f"{after} "
