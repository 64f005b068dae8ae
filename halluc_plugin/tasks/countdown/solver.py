"""Do exact arithmetic and search for Countdown: positive integers, each number used exactly once."""

from collections.abc import Iterator
from functools import lru_cache

OPERATIONS = "+-*/"

Step = tuple[int, str, int, int]
"""One equation: left operand, operation, right operand, result."""


def apply(operation: str, a: int, b: int) -> int | None:
    """Return ``a operation b``, None if the result is not a positive integer."""
    if operation == "+":
        return a + b
    if operation == "*":
        return a * b
    if operation == "-":
        return a - b if a > b else None
    return a // b if b and a % b == 0 else None


def write(step: Step) -> str:
    """Return the text of a step, without a newline."""
    a, operation, b, c = step
    return f"{a}{operation}{b}={c}"


def steps(numbers: tuple[int, ...]) -> Iterator[tuple[Step, tuple[int, ...]]]:
    """Yield every equation that two of the numbers allow, with the sorted numbers it leaves.

    Commuted equations (``3+5`` and ``5+3``) are two steps with one result.
    """
    for i, a in enumerate(numbers):
        for j, b in enumerate(numbers):
            if i == j:
                continue
            rest = [n for k, n in enumerate(numbers) if k not in (i, j)]
            for operation in OPERATIONS:
                c = apply(operation, a, b)
                if c is not None:
                    yield (a, operation, b, c), tuple(sorted((*rest, c)))


@lru_cache(maxsize=1 << 18)
def reachable(numbers: tuple[int, ...], target: int) -> bool:
    """Return whether some sequence of steps turns the sorted ``numbers`` into ``target`` alone."""
    if len(numbers) == 1:
        return numbers[0] == target
    return any(reachable(after, target) for _, after in steps(numbers))


def solutions(numbers: tuple[int, ...], target: int) -> Iterator[list[Step]]:
    """Yield all sequences of steps from the numbers to the target."""
    if len(numbers) == 1:
        if numbers[0] == target:
            yield []
        return
    for step, after in steps(tuple(sorted(numbers))):
        if reachable(after, target):
            for rest in solutions(after, target):
                yield [step, *rest]
