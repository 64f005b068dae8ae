"""The lessons of policies; the clean one is taught until it is right often enough to be searched."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.jobs.samplers import policy_space
from halluc_plugin.problem_sets.steps import StepSplit
from halluc_plugin.recipes.lab.keeping import kept_model
from halluc_plugin.recipes.prm_backtracking.scale import Scale
from halluc_plugin.recipes.prm_backtracking.tasks import DELIMITER, Problems
from halluc_plugin.sampling.driver import run
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.independent import independent
from halluc_plugin.sampling.networks import load_network
from halluc_plugin.scorers.rollouts import judge_of
from halluc_plugin.scratch.model import new_model
from halluc_plugin.tokens.loading import load_model
from halluc_plugin.training import TrainSettings, fine_tune

GIVEN = "lessons.json"
SHORT_WARMUP = 10
"""Warm-up steps of a round."""


@dataclass(frozen=True)
class Lessons:
    """The lessons of one seed of a task.

    Attributes:
        scale: How much of everything.
        problems: What is asked, and the ids it is asked in.
        folder: Where models are kept.
    """

    scale: Scale
    problems: Problems
    folder: Path

    @property
    def policy(self) -> Path:
        """A model trained on clean traces, until it is right sometimes: often enough, and not too often.

        When a sum of many operations is learned differs by hundreds of steps from seed to seed, and no number
        of steps suits all. So the last lesson is given anew with half of its steps while the model is right
        too often after it, and then short rounds of it are added while it is right too rarely.
        """
        return kept_model(self.folder / "policy", self._teach_policy)

    def token_policy(self, tokens: float) -> Path:
        """Return the policy after more lessons, in which half of the traces take steps back.

        Args:
            tokens: Ids that go through it in them.
        """
        most, _ = self.scale.lessons[self.problems.task][-1]

        def teach(folder: Path) -> None:
            rows = self.scale.batch_size * self._row(most, erasing=True)
            settings = self._settings(max(1, round(tokens / rows)))
            self._teach(load_model(str(self.policy)), most, settings, folder, erasing=True)

        return kept_model(self.folder / "token", teach)

    @property
    def given(self) -> Sequence[tuple[int, int]]:
        """The longest chains and the optimizer steps of each lesson that the policy had."""
        told = json.loads((self.policy / GIVEN).read_text(encoding="utf-8"))
        return [(most, steps) for most, steps in told["lessons"]]

    @property
    def tokens(self) -> float:
        """The ids that went through the policy in its lessons."""
        return sum(
            steps * self.scale.batch_size * self._row(most, erasing=False) for most, steps in self.given
        )

    def _row(self, most: int, *, erasing: bool) -> float:
        """Mean ids of a trace and its prompt."""
        path = self.problems.traces(self.scale.train, most, erasing=erasing)
        rows = read_traces(path, self.problems.tokenizer)
        return sum(len(row.prompt_ids) + len(row.response_ids) for row in rows) / len(rows)

    def _teach_policy(self, folder: Path) -> None:
        scale = self.scale
        *before, (most, steps) = scale.lessons[self.problems.task]
        model = new_model(self.problems.tokenizer, scale.shape, seed=self.problems.seed)

        def teach(longest: int, settings: TrainSettings) -> None:
            self._teach(model, longest, settings, folder, erasing=False)

        for longest, count in before:
            teach(longest, self._settings(count))
        untaught = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        teach(most, self._settings(steps))
        shares = [self._right(folder)]
        while shares[-1] > scale.most and steps > 1:
            steps //= 2
            model.load_state_dict(untaught)
            teach(most, self._settings(steps))
            shares.append(self._right(folder))
        rounds = 0
        while shares[-1] < scale.least and rounds < scale.rounds:
            rounds += 1
            teach(most, self._round(rounds))
            shares.append(self._right(folder))
        given = [*before, (most, steps), *([(most, rounds * scale.round_steps)] if rounds else [])]
        write_whole(folder / GIVEN, json.dumps({"lessons": given, "right": shares}))

    def _teach(self, model: object, most: int, settings: TrainSettings, out: Path, *, erasing: bool) -> None:
        traces = self.problems.traces(self.scale.train, most, erasing=erasing)
        fine_tune(model, self.problems.tokenizer, [traces], settings, out)

    def _settings(self, steps: int) -> TrainSettings:
        return TrainSettings(
            steps=steps, batch_size=self.scale.batch_size, learning_rate=self.scale.learning_rate,
            seed=self.problems.seed, bf16=False,
        )  # fmt: skip

    def _round(self, number: int) -> TrainSettings:
        """The settings of a round, which sees other rows than those before it."""
        settings = self._settings(self.scale.round_steps)
        return replace(settings, seed=settings.seed + 100 * number, warmup_steps=SHORT_WARMUP)

    def _right(self, folder: Path) -> float:
        """The share of right answers to problems whose answers scorers are trained on, at temperature 1."""
        tokenizer = self.problems.tokenizer
        space = policy_space(
            str(folder), tokenizer, step_delimiter=DELIMITER,
            max_tokens=self.scale.sizes.longest(self.problems.task), temperature=1.0,
        )  # fmt: skip
        posed = self.problems.posed(StepSplit.TRAIN, self.scale.labelled)
        prompts = [problem.prompt for problem in posed]
        sampler = HFSampler(load_network(str(folder)), space, batch_size=len(posed), seed=self.problems.seed)
        found = run([independent(prompt, space, 1) for prompt in prompts], prompts, sampler)
        right = sum(
            judge_of(problem, tokenizer)(response.ids)
            for problem, of in zip(posed, found, strict=True)
            for response in of.responses
        )
        return right / len(posed)
