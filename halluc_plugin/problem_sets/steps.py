"""Problems whose answers are a number of steps, such as addition, chains and DAG arithmetic.

Training and test problems have sizes of one range and share no problem; ``test_long`` has larger sizes than
any that is trained on.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np

from halluc_plugin.errors import SettingsError, TaskError
from halluc_plugin.problem_sets.options import option
from halluc_plugin.problem_sets.splits import is_set_aside


class StepSplit(StrEnum):
    """The split that a problem belongs to."""

    TRAIN = "train"
    TEST = "test"
    """Held-out problems of the sizes that are trained on."""
    TEST_LONG = "test_long"
    """Larger problems."""
    TEST_NEW = "test_new"
    """Problems on topics that are never trained on."""


class Form(StrEnum):
    """The content of an answer."""

    STEPS = "steps"
    """The answer shows how each step is worked out, one on each line."""
    DIRECT = "direct"
    """The answer has only the results of the steps, on one line."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of problems, such as numbers of digits or operations.

    Args:
        smallest: Smallest size.
        largest: Largest size of training and test problems; each size is as likely as any other.
        longest: Largest size in ``test_long``, whose smallest is ``largest + 1``.

    Raises:
        SettingsError: The sizes do not satisfy 1 <= smallest <= largest < longest.
    """

    smallest: int = option(MISSING, "Smallest size of a problem.")
    largest: int = option(MISSING, "Largest size in training.")
    longest: int = option(MISSING, "Largest size in test_long.")

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.largest < self.longest:
            raise SettingsError(
                f"Sizes from {self.smallest} to {self.largest}, long ones to {self.longest}.",
                "Give 1 <= smallest <= largest < longest.",
            )

    def draw(self, split: StepSplit, rng: np.random.Generator) -> int:
        """Return a random size for a problem of ``split``."""
        long = split is StepSplit.TEST_LONG
        low, high = (self.largest + 1, self.longest) if long else (self.smallest, self.largest)
        return int(rng.integers(low, high + 1))


@dataclass(frozen=True)
class Problem:
    """One problem with its reference answer.

    Attributes:
        prompt: Text of the prompt. Two problems are the same exactly if their prompts are.
        truth: The ground truth that the verifier needs (``reward_model.ground_truth``).
        steps: The reference answer, cut into steps; each ends with the blank or newline that closes it.
        topic: Topic of the problem, for tasks in which some topics are never trained on (``test_new``).
    """

    prompt: str
    truth: Mapping[str, Any]
    steps: tuple[str, ...]
    topic: str = ""

    @property
    def answer(self) -> str:
        """The text of the reference answer."""
        return "".join(self.steps)


class Mistake(StrEnum):
    """The kind of error, for problems that have only one."""

    WRONG = "wrong"


class ProblemSet(ABC):
    """A kind of problem, with all settings that decide what is drawn: a frozen dataclass.

    Its fields are options of the task's command (:mod:`halluc_plugin.problem_sets.options`). Problems of
    several ``sizes`` have a split of larger ones, ``test_long``; others give each problem a ``topic``, and a
    tenth of all topics is for ``test_new`` alone.

    Attributes:
        name: Name of the task, and of the folder of its data sets.
        sources: The ``data_source`` of its problems, or two of them if that of the last split differs.
        seed: Seed of all random choices.
    """

    name: ClassVar[str]
    sources: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def seed(self) -> int:
        """Seed of all random choices."""

    @property
    def sizes(self) -> Sizes | None:
        """The sizes of problems; None for problems without sizes."""
        return None

    @property
    def form(self) -> Form:
        """The content of answers."""
        return Form.STEPS

    @property
    def splits(self) -> tuple[StepSplit, ...]:
        """The splits of its problems, that of training first."""
        last = StepSplit.TEST_NEW if self.sizes is None else StepSplit.TEST_LONG
        return StepSplit.TRAIN, StepSplit.TEST, last

    @property
    def kinds(self) -> Sequence[StrEnum]:
        """The kinds of error that there are; none unless :meth:`wrong` is overridden."""
        return [] if type(self).wrong is ProblemSet.wrong else list(Mistake)

    @abstractmethod
    def draw(self, size: int, rng: np.random.Generator) -> Problem:
        """Return a random problem of a size, which is 0 for problems without sizes."""

    def wrong(self, kind: Any, problem: Problem, step: int, rng: np.random.Generator) -> str | None:  # noqa: ARG002 - for subclasses
        """Return what a plausible error writes in place of a step of the reference answer.

        Args:
            kind: The kind of the error, one of ``kinds``.
            problem: The problem.
            step: Index of the step.
            rng: Source of randomness.

        Returns:
            The text of the wrong step with its blank or newline, or the wrong beginning of one without; None
            if no error of this kind is possible.
        """
        return None


def check_seed(seed: int) -> None:
    """Refuse a seed that numpy does not accept.

    Raises:
        SettingsError: The seed is negative.
    """
    if seed < 0:
        raise SettingsError(f"seed is {seed}.", "Give an integer of at least 0.")


def generate(task: ProblemSet, split: StepSplit, count: int) -> list[Problem]:
    """Draw distinct problems of one split.

    Args:
        task: The kind of problems.
        split: The split of the problems.
        count: Number of problems; a larger count extends a smaller one.

    Raises:
        SettingsError: There are not as many distinct problems, or they are too rare to be found.
    """
    found: dict[str, Problem] = {}
    rng = np.random.default_rng([task.seed, 4, list(StepSplit).index(split)])
    draws = 0
    while len(found) < count:
        if draws > 50 * (count + 100):
            raise SettingsError(
                f"{task.name}: {draws} draws gave only {len(found)} distinct {split} problems "
                f"of {count} wanted.",
                "Ask for fewer problems, or larger ones; `draw` is to draw from the `rng` that it is given.",
            )
        draws += 1
        problem = task.draw(0 if task.sizes is None else task.sizes.draw(split, rng), rng)
        if _belongs(problem, split, task):
            found.setdefault(problem.prompt, problem)
    return list(found.values())


def _belongs(problem: Problem, split: StepSplit, task: ProblemSet) -> bool:
    if split is StepSplit.TEST_LONG:
        return True  # of other sizes than all others: there is nothing to set aside
    if StepSplit.TEST_NEW in task.splits:
        if not problem.topic:
            raise TaskError(
                f"A problem of {task.name} has neither a size nor a topic.",
                "Give the problem set `sizes`, each problem a `topic`, or leave test_new out of `splits`.",
            )
        new = is_set_aside(problem.topic.encode(), task.seed)
        if new or split is StepSplit.TEST_NEW:
            return new and split is StepSplit.TEST_NEW
    return is_set_aside(problem.prompt.encode(), task.seed) is (split is StepSplit.TEST)


def step_row(problem: Problem, task: ProblemSet, split: StepSplit, index: int) -> dict[str, Any]:
    """Return a problem as a row for verl, without ``agent_name``, which would override the recipe's."""
    unlike = split in {StepSplit.TEST_LONG, StepSplit.TEST_NEW}
    return {
        "data_source": task.sources[-1 if unlike else 0],
        "prompt": [{"role": "user", "content": problem.prompt}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": dict(problem.truth)},
        "extra_info": {"split": str(split), "index": index, "answer": problem.answer},
    }
