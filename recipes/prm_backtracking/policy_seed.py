"""One seed of a task of an experiment whose arms begin with the same policy."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from halluc_plugin.problem_sets.steps import StepSplit
from halluc_plugin.recipes.prm_backtracking.lessons import Lessons
from halluc_plugin.recipes.prm_backtracking.tasks import Problems, Task
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.tokens import BACKTRACK_TOKEN, STEP_TOKEN


@dataclass(frozen=True)
class PolicySeed:
    """One seed of a task.

    Attributes:
        out: Folder of the experiment.
        scale: How much of everything: ``policy``, how the policy is taught, and ``asked``, the number of
            held-out problems, among others.
        task: What is answered.
        seed: Seed of problems, weights, data order and samples.
        edit_tokens: The edit tokens of the tokenizer.
    """

    out: Path
    scale: Any
    task: Task
    seed: int
    edit_tokens: tuple[str, ...] = (BACKTRACK_TOKEN, STEP_TOKEN)

    @property
    def folder(self) -> Path:
        """What belongs to this seed of the task."""
        return self.out / f"{self.task}-{self.seed}"

    @cached_property
    def problems(self) -> Problems:
        """What is asked, and the ids it is asked in."""
        sizes = self.scale.policy.sizes
        return Problems(self.task, self.seed, self.folder / "data", sizes, self.edit_tokens)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of all models."""
        return self.problems.tokenizer

    @cached_property
    def lessons(self) -> Lessons:
        """What the policy is taught."""
        return Lessons(self.scale.policy, self.problems, self.folder / "models")

    @property
    def asked(self) -> list[PosedProblem]:
        """The held-out problems."""
        return self.problems.posed(StepSplit.TEST, self.scale.asked)
