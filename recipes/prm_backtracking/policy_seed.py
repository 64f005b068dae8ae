"""One seed of a task of an experiment whose arms begin with the same policy."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from halluc_plugin.data.value_files import ValueRow
from halluc_plugin.jobs.samplers import policy_space
from halluc_plugin.problem_sets.steps import StepSplit
from halluc_plugin.recipes.lab.forgetting import FOLDER, kept_forgetting
from halluc_plugin.recipes.prm_backtracking.lessons import Lessons
from halluc_plugin.recipes.prm_backtracking.models import TOGETHER
from halluc_plugin.recipes.prm_backtracking.tasks import DELIMITER, Problems, Task
from halluc_plugin.sampling.driver import run
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.independent import independent
from halluc_plugin.sampling.networks import load_network
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.states import Space
from halluc_plugin.scorers.rollouts import judge_of
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

    @cached_property
    def clean_space(self) -> Space:
        """Where models answer without edits, at temperature 1."""
        return policy_space(
            str(self.lessons.policy), self.tokenizer, step_delimiter=DELIMITER,
            max_tokens=self.scale.policy.sizes.longest(self.task), temperature=1.0,
        )  # fmt: skip

    def sampler_of(self, model: Path, salt: int) -> HFSampler:
        """Return a sampler of a model; equal salts give equal samples.

        Args:
            model: Folder of the model.
            salt: What tells samplers of a seed apart.
        """
        seed = 1000 * self.seed + salt
        return HFSampler(load_network(str(model)), self.clean_space, batch_size=TOGETHER, seed=seed)

    def forgotten(self, model: Path, arm: str) -> dict[str, Any]:
        """Return what a model forgot of the policy that all arms begin with, measured on first use.

        Args:
            model: Folder of the model.
            arm: What the model is of.
        """
        of = {"task": str(self.task), "seed": self.seed, "arm": arm}
        return kept_forgetting(
            self.folder / FOLDER / f"{model.name}.json", of, base=self.lessons.policy, model=model,
            tokenizer=self.tokenizer, space=self.clean_space, problems=self.asked, seed=self.seed,
        )  # fmt: skip

    def judged_answers(self, problems: list[PosedProblem], answers: int, salt: int) -> list[ValueRow]:
        """Return answers of the policy that end, each with whether it is right.

        Args:
            problems: What is answered.
            answers: Number of answers that are sampled of each problem.
            salt: What tells samplers of a seed apart.
        """
        prompts = [problem.prompt for problem in problems]
        sampler = self.sampler_of(self.lessons.policy, salt)
        found = run([independent(prompt, self.clean_space, answers) for prompt in prompts], prompts, sampler)
        rows = []
        for problem, of in zip(problems, found, strict=True):
            judge = judge_of(problem, self.tokenizer)
            for response in of.responses:
                steps = [list(step) for step in self.clean_space.steps(response.ids)]
                values = [None] * (len(steps) + 1)
                right = judge(response.ids)
                rows.append(ValueRow(problem.data_source, list(problem.prompt), steps, [*values], right))
        return rows
