"""Problems of a search task: splits, and how distinct ones are drawn."""

from enum import StrEnum
from typing import Any, Protocol

import numpy as np

from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.search import SearchTask
from halluc_plugin.problem_sets.splits import is_set_aside
from halluc_plugin.problem_sets.steps import StepProblem


class SearchSplit(StrEnum):
    """What a problem is for."""

    TRAIN = "train"
    TEST = "test"
    """Held-out problems like those that are trained on."""
    TEST_NEW = "test_new"
    """Problems unlike those in a way that the task says, such as words that never occur in training."""


class SearchProblems(Protocol):
    """All that decides what is drawn."""

    @property
    def name(self) -> str:
        """Folder of its data sets."""
        ...

    @property
    def sources(self) -> tuple[str, str]:
        """The ``data_source`` of its problems, and of its new ones."""
        ...

    @property
    def seed(self) -> int:
        """Seed of everything."""
        ...

    @property
    def search(self) -> SearchTask[Any]:
        """The task."""
        ...

    def draw(self, split: SearchSplit, rng: np.random.Generator) -> StepProblem | None:
        """A problem, None where what was drawn is none, or not for this split.

        Args:
            split: New problems or others; which of the others are for testing is not asked.
            rng: Source of randomness.
        """
        ...


def generate(problems: SearchProblems, split: SearchSplit, count: int) -> list[StepProblem]:
    """Draw distinct problems of one split.

    Args:
        problems: What they look like.
        split: Which split.
        count: How many; more are an extension of fewer.

    Raises:
        SettingsError: So many distinct problems do not exist, or are too rare to find.
    """
    found: dict[str, StepProblem] = {}
    rng = np.random.default_rng([problems.seed, 6, list(SearchSplit).index(split)])
    draws = 0
    while len(found) < count:
        if draws > 200 * (count + 100):
            raise SettingsError(
                f"{draws} draws gave only {len(found)} distinct {split} problems of {count} wanted.",
                "Ask for fewer problems, or for ones of which more can be solved as wanted.",
            )
        draws += 1
        problem = problems.draw(split, rng)
        if problem is None:
            continue
        # New problems are unlike all others: there is nothing to set aside.
        held_out = is_set_aside(problem.prompt.encode(), problems.seed)
        if split is SearchSplit.TEST_NEW or held_out is (split is SearchSplit.TEST):
            found.setdefault(problem.prompt, problem)
    return list(found.values())
