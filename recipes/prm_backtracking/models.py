"""The models of one seed of a task, and the values that they are made of: each is made once and kept."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from halluc_plugin.data.resumable import PartedFile
from halluc_plugin.data.value_files import ValueRow, read_values, value_metadata, write_values
from halluc_plugin.data.value_sets import balanced
from halluc_plugin.data.value_turns import Returns, turn_rows
from halluc_plugin.jobs.samplers import policy_space
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.own_errors.step_values import StepValues, ValueSettings
from halluc_plugin.problem_sets.steps import StepSplit
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.lab.keeping import kept_cell
from halluc_plugin.recipes.prm_backtracking.lessons import Lessons
from halluc_plugin.recipes.prm_backtracking.scale import Scale
from halluc_plugin.recipes.prm_backtracking.tasks import DELIMITER, Problems, Task
from halluc_plugin.sampling.driver import run
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.independent import independent
from halluc_plugin.sampling.networks import decoder_shape, load_network
from halluc_plugin.sampling.states import Space
from halluc_plugin.scorers.prefixes import PrefixScorer
from halluc_plugin.scorers.rollouts import judge_of
from halluc_plugin.scorers.saved import Objective, load_step_scorer
from halluc_plugin.scorers.step_oracle import StepOracle
from halluc_plugin.training import TrainSettings
from halluc_plugin.training.scoring import ScorerSettings, train_step_scorer

HOT = 1.2
"""Temperature of the answers that stand for those of another policy."""
TOGETHER = 512
"""Most samples of a forward pass."""
PART = 50
"""Problems that are labelled, and kept, together."""


class Diet(StrEnum):
    """What a scorer is trained on."""

    OFFLINE = "other answers"
    OFFLINE_BALANCED = "other answers, balanced"
    OWN = "own answers"
    OWN_BALANCED = "own answers, balanced"
    """The single-turn scorer that searches use."""
    TURNS = "in-context"
    """Own answers that follow others in one context, as many right as wrong rows."""
    OUTCOMES = "outcomes alone"
    """The same answers as the single-turn scorer's, each taught by whether it is right: an outcome reward
    model, whose value of the bare prompt is 1/2, since it is taught none."""


@dataclass(frozen=True)
class Models:
    """One seed of a task.

    Attributes:
        out: Folder of the experiment.
        scale: How much of everything.
        task: What is answered.
        seed: Seed of problems, weights, data order and samples.
    """

    out: Path
    scale: Scale
    task: Task
    seed: int

    @property
    def folder(self) -> Path:
        """What belongs to this seed of the task."""
        return self.out / f"{self.task}-{self.seed}"

    @cached_property
    def problems(self) -> Problems:
        """What is asked, and the ids it is asked in."""
        return Problems(self.task, self.seed, self.folder / "data", self.scale.sizes)

    @cached_property
    def _lessons(self) -> Lessons:
        return Lessons(self.scale, self.problems, self.folder / "models")

    @cached_property
    def policy(self) -> Path:
        """Trained on clean traces."""
        return self._lessons.policy

    @cached_property
    def token_policy(self) -> Path:
        """The policy, taught to take steps back with as many tokens as its scorer was trained on."""
        return self._lessons.token_policy(self.trained_tokens()["scorer"])

    def trained_tokens(self) -> dict[str, float]:
        """Return how many ids went through the policy, and through the single-turn scorer, in training."""
        rows = self.rows(Diet.OWN_BALANCED)
        length = sum(len(row.prompt_ids) + sum(map(len, row.step_ids)) for row in rows) / len(rows)
        steps = self.scorer_report(Diet.OWN_BALANCED)["optimizer_steps"]
        return {
            "policy": self._lessons.tokens,
            "scorer": steps * self.scale.batch_size * length,
        }

    @cached_property
    def space(self) -> Space:
        """Where the policy answers."""
        return policy_space(
            str(self.policy), self.problems.tokenizer, step_delimiter=DELIMITER,
            max_tokens=self.scale.sizes.longest(self.task), temperature=1.0,
        )  # fmt: skip

    @cached_property
    def network(self) -> Any:
        """The policy, loaded."""
        return load_network(str(self.policy))

    @cached_property
    def shape(self) -> DecoderShape:
        """Sizes of the policy, and of all scorers."""
        return decoder_shape(self.network.config)

    def sampler(self, salt: int, space: Space | None = None) -> HFSampler:
        """Return a sampler of the policy; equal salts give equal samples."""
        seed = 1000 * self.seed + salt
        return HFSampler(self.network, space or self.space, batch_size=TOGETHER, seed=seed)

    def _file(self, name: str) -> Path:
        return self.folder / "values" / f"{name}.parquet"

    def own(self) -> list[ValueRow]:
        """Return own answers to problems that are not asked, with Monte-Carlo values."""
        path, tokenizer = self._file("own"), self.problems.tokenizer
        if not path.exists():
            asked = ValueSettings(self.scale.answers, self.scale.continuations, partials=self.scale.partials)
            make = StepValues(self.sampler(1), self.space, tokenizer, asked, self.seed)
            metadata = value_metadata(tokenizer, DELIMITER)
            file = PartedFile(path, make, asdict(asked), metadata, PART)
            posed = self.problems.posed(StepSplit.TRAIN, self.scale.labelled)
            _, counts = file.write(posed, progress=show_progress, what="problems labelled")
            kept_cell(self.folder / "values" / "own.json", lambda: dict(counts))
        return read_values(path, tokenizer, step_delimiter=DELIMITER)

    def offline(self) -> list[ValueRow]:
        """Return as many answers at another temperature, labelled as published sets are: 1 until one errs."""
        path, tokenizer = self._file("offline"), self.problems.tokenizer
        if not path.exists():
            posed = self.problems.posed(StepSplit.TRAIN, self.scale.labelled)
            hot = replace(self.space, temperature=HOT)
            prompts = [problem.prompt for problem in posed]
            searches = [independent(prompt, hot, self.scale.answers) for prompt in prompts]
            found = run(searches, prompts, self.sampler(2, hot))
            oracle = StepOracle(posed, tokenizer, self.space.eos_ids)
            rows = []
            for problem, of_problem in zip(posed, found, strict=True):
                judge = judge_of(problem, tokenizer)
                for ids in dict.fromkeys(response.ids for response in of_problem.responses):
                    steps = [list(step) for step in self.space.steps(ids)]
                    (values,) = oracle.score([problem.prompt], [steps]).tolist()
                    rows.append(
                        ValueRow(problem.data_source, list(problem.prompt), steps, values, correct=judge(ids))
                    )
            write_values(path, rows, tokenizer, step_delimiter=DELIMITER)
        return read_values(path, tokenizer, step_delimiter=DELIMITER)

    def rows(self, diet: Diet) -> list[ValueRow]:
        """Return what a scorer is trained on."""
        match diet:
            case Diet.OFFLINE:
                return self.offline()
            case Diet.OFFLINE_BALANCED:
                return balanced(self.offline(), self.seed)
            case Diet.OWN:
                return self.own()
            case Diet.OWN_BALANCED | Diet.OUTCOMES:
                return balanced(self.own(), self.seed)
        made = turn_rows(
            self.own(), self.problems.tokenizer, step_delimiter=DELIMITER, revisions=self.scale.turns,
            trajectories=2 * self.scale.answers, returns=Returns.TURN, seed=self.seed,
        )  # fmt: skip
        return balanced(made, self.seed)

    def scorer_report(self, diet: Diet) -> dict[str, Any]:
        """Train a scorer unless it was trained before, and return what training came to."""
        folder = self.folder / "models" / plain(f"scorer, {diet}")

        def train() -> dict[str, Any]:
            rows = self.rows(diet)
            path = self._file(folder.name)
            write_values(path, rows, self.problems.tokenizer, step_delimiter=DELIMITER)
            settings = TrainSettings(
                steps=self.scale.scorer_steps, batch_size=self.scale.batch_size, seed=self.seed,
                learning_rate=self.scale.scorer_rate, save_steps=self.scale.looks, warmup_steps=10,
                bf16=False,
            )  # fmt: skip
            objective = Objective.OUTCOME if diet is Diet.OUTCOMES else Objective.VALUE
            made = train_step_scorer(
                str(self.policy), [path], ScorerSettings(objective, patience=3, train=settings), folder
            )
            return {"rows": len(rows), "optimizer_steps": made.steps, **made.quality.as_metrics()}

        return kept_cell(folder.with_suffix(".json"), train) | {"folder": str(folder)}

    def scorer(self, diet: Diet) -> PrefixScorer:
        """Load a trained scorer, which has computed nothing yet."""
        return load_step_scorer(
            self.scorer_report(diet)["folder"], self.problems.tokenizer,
            step_delimiter=DELIMITER, data_sources=None,
        )  # fmt: skip

    def cell(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what was measured under a name, or measure it now."""
        of = {"task": str(self.task), "seed": self.seed, "name": name}
        return kept_cell(self._path(name), lambda: of | measure())

    def kept(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return what was measured under names, and leave out what was not."""
        paths = [path for name in names if (path := self._path(name)).exists()]
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths]

    def _path(self, name: str) -> Path:
        return self.out / "cells" / f"{self.task}-{self.seed}-{plain(name)}.json"


def plain(name: str) -> str:
    """Return a name for files."""
    return name.replace(", ", "-").replace(" ", "-")


def flat(groups: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the members of all groups as one list."""
    return [each for group in groups for each in group]
