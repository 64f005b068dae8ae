"""Draw Countdown problems by a random forward path, so that each can be solved.

Splits share no problem (numbers as a multiset, with target). A tenth of the targets never occur in
training: ``test_new`` draws from those, ``test_seen`` from the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.files import SEED_HELP
from halluc_plugin.problem_sets.options import option
from halluc_plugin.problem_sets.splits import is_set_aside
from halluc_plugin.tasks.countdown.solver import Step, apply, write

SHARE_OF_NEW_TARGETS = 0.1


class Split(StrEnum):
    """The split that a problem belongs to."""

    TRAIN = "train"
    TEST_SEEN = "test_seen"
    """Held-out problems whose targets occur in training."""
    TEST_NEW = "test_new"
    """Problems whose targets never occur in training."""


@dataclass(frozen=True)
class CountdownSettings:
    """The kind of Countdown problems.

    Args:
        numbers: Number of numbers in a problem, 3 to 6.
        largest_operand: Numbers are drawn uniformly from 1 to this.
        smallest_target: Smaller targets are redrawn.
        largest_target: Larger targets and intermediate results are redrawn.
        seed: Seed of all random choices.

    Raises:
        SettingsError: A value is out of range.
    """

    numbers: int = option(3, "Numbers in a problem, 3 to 6.")
    largest_operand: int = option(25, "Numbers are drawn from 1 to this.")
    smallest_target: int = 10
    largest_target: int = 100
    seed: int = option(0, SEED_HELP)

    def __post_init__(self) -> None:
        if not 3 <= self.numbers <= 6:
            raise SettingsError(f"Countdown with {self.numbers} numbers.", "Give 3, 4, 5 or 6.")
        if self.largest_operand < 2:
            raise SettingsError(f"largest_operand is {self.largest_operand}.", "Give at least 2.")
        if not 1 <= self.smallest_target <= self.largest_target:
            raise SettingsError(
                f"Targets from {self.smallest_target} to {self.largest_target}.",
                "Give 1 <= smallest <= largest.",
            )
        if self.seed < 0:
            raise SettingsError(f"seed is {self.seed}.", "Give an integer of at least 0.")


@dataclass(frozen=True)
class Problem:
    """One problem with the path by which it was drawn.

    Attributes:
        numbers: The given numbers, in the order they are shown.
        target: The number to reach.
        solution: The steps of the drawn path.
    """

    numbers: tuple[int, ...]
    target: int
    solution: tuple[Step, ...]

    @property
    def key(self) -> tuple[tuple[int, ...], int]:
        """The identity of a problem: the multiset of its numbers, and its target."""
        return tuple(sorted(self.numbers)), self.target

    @property
    def prompt(self) -> str:
        """The text of the prompt."""
        return prompt_text(self)

    @property
    def truth(self) -> dict[str, Any]:
        """The ground truth that the verifier needs."""
        return {"numbers": list(self.numbers), "target": self.target}

    @property
    def steps(self) -> tuple[str, ...]:
        """The drawn solution, one equation in each step."""
        return tuple(write(step) + "\n" for step in self.solution)

    @property
    def answer(self) -> str:
        """The drawn solution as text."""
        return answer_text(self)


def prompt_text(problem: Problem) -> str:
    """Return the text of the prompt of a problem."""
    return f"{' '.join(map(str, problem.numbers))} -> {problem.target}\n"


def answer_text(problem: Problem) -> str:
    """Return the drawn solution as text, one equation on each line."""
    return "".join(problem.steps)


def new_targets(settings: CountdownSettings) -> frozenset[int]:
    """Return the targets that never occur in training: a tenth of all, drawn by the seed."""
    targets = np.arange(settings.smallest_target, settings.largest_target + 1)
    generator = np.random.default_rng([settings.seed, 1])
    count = max(1, round(SHARE_OF_NEW_TARGETS * len(targets)))
    return frozenset(int(t) for t in generator.choice(targets, count, replace=False))


def generate(settings: CountdownSettings, split: Split, count: int) -> list[Problem]:
    """Draw distinct problems of one split.

    Raises:
        SettingsError: The number of problems is refused by :func:`draw_variants`.
    """
    return [first for (first,) in draw_variants(settings, split, count, 1)]


def draw_variants(
    settings: CountdownSettings, split: Split, count: int, most: int
) -> list[tuple[Problem, ...]]:
    """Draw distinct problems of one split, with the different ways in which each was drawn.

    Whether a problem is for training or for testing depends on the problem and the seed alone, so splits stay
    disjoint however many problems are drawn.

    Args:
        settings: The kind of problems.
        split: The split of the problems.
        count: Number of distinct problems.
        most: Largest number of ways to keep of each: orders of the numbers, and solutions.

    Returns:
        For each problem, in the order of their first draw, 1 to ``most`` distinct ways.

    Raises:
        SettingsError: There are not ``count`` distinct problems, or they are too rare to be found.
    """
    held_out = new_targets(settings)
    found: dict[tuple[tuple[int, ...], int], list[Problem]] = {}
    generator = np.random.default_rng([settings.seed, 2, list(Split).index(split)])
    for draws, problem in enumerate(_draws(settings, generator), 1):
        if _split_of(problem, held_out, settings.seed) is split:
            variants = found.setdefault(problem.key, [])
            if len(variants) < most and problem not in variants:
                variants.append(problem)
            if len(found) == count:
                break
        if draws > 100 * (count + 1000):
            raise SettingsError(
                f"{draws} draws gave only {len(found)} distinct {split} problems of {count} wanted.",
                "Ask for fewer problems, more numbers, or larger operands.",
            )
    return [tuple(variants) for variants in found.values()]


def _split_of(problem: Problem, held_out: frozenset[int], seed: int) -> Split:
    if problem.target in held_out:
        return Split.TEST_NEW
    return Split.TEST_SEEN if is_set_aside((*problem.key[0], problem.target), seed) else Split.TRAIN


def _draws(settings: CountdownSettings, generator: np.random.Generator) -> Iterator[Problem]:
    """Endless problems by random forward paths; a path that leaves the allowed range is dropped."""
    while True:
        block = generator.integers(1, settings.largest_operand + 1, (4096, settings.numbers))
        choices = generator.random((4096, settings.numbers - 1, 3))
        for numbers, choice in zip(block.tolist(), choices, strict=True):
            solution = _random_path(numbers, choice, settings)
            if solution is not None:
                yield Problem(tuple(numbers), solution[-1][3], solution)


def _random_path(
    numbers: list[int], choices: np.ndarray, settings: CountdownSettings
) -> tuple[Step, ...] | None:
    left, path = list(numbers), []
    for which_a, which_b, which_operation in choices:
        a = left.pop(int(which_a * len(left)))
        b = left.pop(int(which_b * len(left)))
        results = [(operation, apply(operation, a, b)) for operation in "+-*/"]
        allowed = [
            (operation, c) for operation, c in results if c is not None and c <= settings.largest_target
        ]
        if not allowed:
            return None
        operation, c = allowed[int(which_operation * len(allowed))]
        assert c is not None
        path.append((a, operation, b, c))
        left.append(c)
    return tuple(path) if settings.smallest_target <= left[0] else None
