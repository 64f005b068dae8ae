"""Make plausible errors in Countdown answers: the kinds of Self-Backtracking (arXiv 2502.04404, 4.1)."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from halluc_plugin.problem_sets.weights import check_weights, draw_kind
from halluc_plugin.tasks.countdown.solver import Step, apply, reachable, steps


class ErrorKind(StrEnum):
    """The kind of error in a step."""

    EXPLORATION = "exploration"
    """A right equation after which the target is out of reach."""
    COMPUTATIONAL = "computational"
    """Numbers that are there, with a wrong result."""
    RULE = "rule"
    """A right equation with a number that is not there."""


@dataclass(frozen=True)
class ErrorMix:
    """Relative weight of each kind of error; the default is one summary of the paper's 1:2:2.

    Raises:
        SettingsError: A weight is negative, or all are zero.
    """

    exploration: float = 1.0
    computational: float = 2.0
    rule: float = 2.0

    def __post_init__(self) -> None:
        check_weights(self.weights)

    @property
    def weights(self) -> tuple[float, float, float]:
        """The weights in the order of :class:`ErrorKind`."""
        return self.exploration, self.computational, self.rule

    def draw(self, rng: np.random.Generator) -> ErrorKind:
        """Return a random kind, drawn by weight."""
        return draw_kind(list(ErrorKind), self.weights, rng)


def after(numbers: tuple[int, ...], step: Step) -> tuple[int, ...]:
    """Return the sorted numbers that are left of ``numbers`` after a right step."""
    left = list(numbers)
    left.remove(step[0])
    left.remove(step[2])
    return tuple(sorted((*left, step[3])))


def wrong_steps(
    kind: ErrorKind,
    numbers: tuple[int, ...],
    target: int,
    right: Step,
    *,
    largest: int,
    follow: float,
    rng: np.random.Generator,
) -> list[Step] | None:
    """Return the wrong steps that an error writes in place of ``right``.

    Args:
        kind: The kind of the error.
        numbers: The sorted numbers that are left before the step.
        target: The number to reach.
        right: The step of the reference answer.
        largest: Largest number that may be written; steps with larger results do not occur.
        follow: Probability that an exploration error is followed to the end of the answer before it is
            noticed. A dead end shows at the last step at the latest.
        rng: Source of randomness.

    Returns:
        The wrong steps in order, the first of them the error; None if no error of this kind is possible.
    """
    if kind is ErrorKind.COMPUTATIONAL:
        return [(*right[:3], _another_result(right[3], largest, rng))]
    if kind is ErrorKind.RULE:
        foreign = _foreign_operand(numbers, right, largest, rng)
        return None if foreign is None else [foreign]
    return _dead_end(numbers, target, largest, follow, rng)


def _another_result(result: int, largest: int, rng: np.random.Generator) -> int:
    # Near misses: results that are far off would be told apart without computing.
    near = [c for c in range(max(1, result - 10), min(largest, result + 10) + 1) if c != result]
    return int(rng.choice(near))


def _foreign_operand(
    numbers: tuple[int, ...], right: Step, largest: int, rng: np.random.Generator
) -> Step | None:
    """The right step with one operand replaced by a number that is not left, and the result that follows."""
    a, operation, b, _ = right
    first = bool(rng.integers(2))
    foreign = [n for n in range(1, max(*numbers, 9) + 1) if n not in numbers]
    rng.shuffle(foreign)
    for number in foreign:
        x, y = (number, b) if first else (a, number)
        result = apply(operation, x, y)
        if result is not None and result <= largest:
            return x, operation, y, result
    return None


def _dead_end(
    numbers: tuple[int, ...], target: int, largest: int, follow: float, rng: np.random.Generator
) -> list[Step] | None:
    written: list[Step] = []
    to_the_end = rng.random() < follow
    while len(numbers) > 1 and (not written or to_the_end):
        wrong = [
            (step, left)
            for step, left in steps(numbers)
            if step[3] <= largest and (written or not reachable(left, target))
        ]
        if not wrong:
            break
        step, numbers = wrong[int(rng.integers(len(wrong)))]
        written.append(step)
    return written or None


def replay(numbers: tuple[int, ...], path: tuple[Step, ...]) -> list[tuple[int, ...]]:
    """Return the sorted numbers that are left before each step of a right path."""
    states = [tuple(sorted(numbers))]
    for step in path[:-1]:
        states.append(after(states[-1], step))
    return states
