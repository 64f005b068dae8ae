"""Problems whose answers are a number of steps: what addition, chains and DAG arithmetic have in common.

Training and test problems have sizes of one range and share no problem; ``test_long`` has larger sizes than
any that is trained on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np

from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.splits import is_set_aside


class StepSplit(StrEnum):
    """What a problem is for."""

    TRAIN = "train"
    TEST = "test"
    """Held-out problems of the sizes that are trained on."""
    TEST_LONG = "test_long"
    """Larger problems."""


class Form(StrEnum):
    """What an answer says."""

    STEPS = "steps"
    """How each step is worked out, one a line."""
    DIRECT = "direct"
    """Only what the steps come to, on one line."""


@dataclass(frozen=True)
class Sizes:
    """How large problems are: digits, operations, ...

    Args:
        smallest: Smallest size.
        largest: Largest size of training and test problems; each size is as likely as any other.
        longest: Largest size in ``test_long``, whose smallest is ``largest + 1``.

    Raises:
        SettingsError: Not 1 <= smallest <= largest < longest.
    """

    smallest: int
    largest: int
    longest: int

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.largest < self.longest:
            raise SettingsError(
                f"Sizes from {self.smallest} to {self.largest}, long ones to {self.longest}.",
                "Give 1 <= smallest <= largest < longest.",
            )

    def draw(self, split: StepSplit, rng: np.random.Generator) -> int:
        """A size for a problem of ``split``."""
        long = split is StepSplit.TEST_LONG
        low, high = (self.largest + 1, self.longest) if long else (self.smallest, self.largest)
        return int(rng.integers(low, high + 1))


@dataclass(frozen=True)
class StepProblem:
    """One problem with its reference answer.

    Attributes:
        prompt: How it is asked; two problems are the same exactly if their prompts are.
        truth: What its verifier needs (``reward_model.ground_truth``).
        steps: The reference answer, cut into steps; each ends with the blank or newline that closes it.
    """

    prompt: str
    truth: Mapping[str, Any]
    steps: tuple[str, ...]

    @property
    def answer(self) -> str:
        """The reference answer."""
        return "".join(self.steps)


class StepTask(Protocol):
    """A kind of problem, with all that decides what is drawn."""

    @property
    def name(self) -> str:
        """Folder of its data sets."""
        ...

    @property
    def sources(self) -> tuple[str, str]:
        """The ``data_source`` of its problems, and of its long ones."""
        ...

    @property
    def sizes(self) -> Sizes:
        """How large its problems are."""
        ...

    @property
    def seed(self) -> int:
        """Seed of everything."""
        ...

    @property
    def form(self) -> Form:
        """What its answers say."""
        ...

    @property
    def kinds(self) -> Sequence[StrEnum]:
        """The kinds of error there are."""
        ...

    def draw(self, size: int, rng: np.random.Generator) -> StepProblem:
        """A problem of a size."""
        ...

    def wrong(self, kind: Any, problem: StepProblem, step: int, rng: np.random.Generator) -> str | None:
        """What a plausible error writes in place of a step of the reference answer.

        Args:
            kind: What is wrong, one of ``kinds``.
            problem: The problem.
            step: Index of the step.
            rng: Source of randomness.

        Returns:
            The wrong step with its blank or newline, or the wrong beginning of one without; None where no
            error of this kind is possible.
        """
        ...


def check_seed(seed: int) -> None:
    """Refuse a seed that numpy would.

    Raises:
        SettingsError: It is negative.
    """
    if seed < 0:
        raise SettingsError(f"seed is {seed}.", "Give an integer of at least 0.")


def generate(task: StepTask, split: StepSplit, count: int) -> list[StepProblem]:
    """Draw distinct problems of one split.

    Args:
        task: What problems look like.
        split: Which split.
        count: How many; more are an extension of fewer.

    Raises:
        SettingsError: So many distinct problems do not exist, or are too rare to find.
    """
    found: dict[str, StepProblem] = {}
    rng = np.random.default_rng([task.seed, 4, list(StepSplit).index(split)])
    draws = 0
    while len(found) < count:
        if draws > 50 * (count + 100):
            raise SettingsError(
                f"{draws} draws gave only {len(found)} distinct {split} problems of {count} wanted.",
                "Ask for fewer problems, or larger ones.",
            )
        draws += 1
        problem = task.draw(task.sizes.draw(split, rng), rng)
        # Long problems are of other sizes than all others: there is nothing to set aside.
        wanted = split is StepSplit.TEST_LONG or (
            is_set_aside(problem.prompt.encode(), task.seed) is (split is StepSplit.TEST)
        )
        if wanted:
            found.setdefault(problem.prompt, problem)
    return list(found.values())


def step_row(problem: StepProblem, task: StepTask, split: StepSplit, index: int) -> dict[str, Any]:
    """A problem as verl's row; no ``agent_name``, which would override the recipe's."""
    source, long_source = task.sources
    return {
        "data_source": long_source if split is StepSplit.TEST_LONG else source,
        "prompt": [{"role": "user", "content": problem.prompt}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": dict(problem.truth)},
        "extra_info": {"split": str(split), "index": index, "answer": problem.answer},
    }
