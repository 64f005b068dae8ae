"""The models of one seed of a task: a policy that is taught both turns, and what the stages make of it."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial
from pathlib import Path

from halluc_plugin.atomic_files import make_folder, write_whole
from halluc_plugin.credit import TurnStage
from halluc_plugin.data.attempt_turns import attempt_rows
from halluc_plugin.data.trace_files import read_traces, write_traces
from halluc_plugin.problem_sets.steps import StepSplit
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.lab.keeping import kept_model
from halluc_plugin.recipes.prm_backtracking.policy_seed import PolicySeed
from halluc_plugin.recipes.score.scale import Scale
from halluc_plugin.rl.grpo import METRICS, train_policy
from halluc_plugin.rl.settings import GrpoSettings
from halluc_plugin.rl.turn_rollouts import TurnRollouts
from halluc_plugin.run_metrics import logged_records
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.settings import load
from halluc_plugin.tokens.loading import load_model, on_accelerator
from halluc_plugin.training import TrainSettings, fine_tune

REQUEST = "?\n"
"""What asks for another attempt, in words that the tokenizer of numbers has."""
SPENT = "tokens.json"


class Arm(StrEnum):
    """What was trained."""

    TAUGHT = "both turns taught"
    """The policy, fine-tuned on traces of two of its own attempts, of which the second is right."""
    PLAIN = "no stage I, no bonus"
    """Stage II from there without its bonus, for the steps of both stages."""
    BONUS = "no stage I"
    """Stage II from there, for the steps of both stages."""
    HELD = "stage I"
    """The first stage."""
    SCORE = "SCoRe"
    """Both stages."""


@dataclass(frozen=True)
class Models(PolicySeed):
    """One seed of a task; :class:`PolicySeed` has its attributes."""

    scale: Scale

    @cached_property
    def request(self) -> tuple[int, ...]:
        """Ids of what asks for another attempt."""
        return tuple(self.tokenizer.encode(REQUEST, add_special_tokens=False))

    @property
    def trained_on(self) -> list[PosedProblem]:
        """The problems that are trained on."""
        return self.problems.posed(StepSplit.TRAIN, self.scale.problems)

    def grpo(self, steps: int) -> GrpoSettings:
        """Return the settings of a stage.

        Args:
            steps: Its steps.
        """
        scale = self.scale
        return GrpoSettings(
            steps=steps, prompts=scale.prompts, group=scale.group, learning_rate=scale.stage_rate,
            max_actions=2 * scale.policy.sizes.longest(self.task) + len(self.request), seed=self.seed,
            normalize_by_std=False,
        )  # fmt: skip

    def model(self, arm: Arm) -> Path:
        """Return the folder of an arm's model, trained on first use."""
        train = {
            Arm.TAUGHT: self._teach,
            Arm.PLAIN: self._stage(TurnStage.SHAPE, Arm.TAUGHT, 2, alpha=0.0),
            Arm.BONUS: self._stage(TurnStage.SHAPE, Arm.TAUGHT, 2),
            Arm.HELD: self._stage(TurnStage.HOLD, Arm.TAUGHT, 1),
            Arm.SCORE: self._stage(TurnStage.SHAPE, Arm.HELD, 1),
        }[arm]
        return kept_model(self.folder / "models" / arm.name.lower(), train)

    def spent(self, arm: Arm) -> dict[str, float]:
        """Return the ids that were sampled and that went through models in training, the start's included."""
        told: dict[str, float] = json.loads((self.model(arm) / SPENT).read_text(encoding="utf-8"))
        return told

    def curve(self, arm: Arm) -> list[dict[str, float]]:
        """Return what the last stage of an arm logged of its steps."""
        path = self.model(arm) / METRICS
        return list(logged_records(path)) if path.exists() else []

    def traces(self) -> Path:
        """Return the file of traces of two attempts, sampled on first use."""
        path = self.folder / "data" / "attempts.parquet"
        if not path.exists():
            make_folder(path.parent)
            rows = self.judged_answers(self.trained_on, self.scale.answers, salt=1)
            ends = frozenset({int(self.tokenizer.eos_token_id)})
            most = self.scale.traces
            write_traces(
                path, attempt_rows(rows, self.request, ends, most=most, seed=self.seed), self.tokenizer
            )
            sampled = sum(len(step) for row in rows for step in row.step_ids)
            write_whole(path.with_suffix(".json"), json.dumps({"sampled": sampled}))
        return path

    def _teach(self, out: Path) -> None:
        path, scale = self.traces(), self.scale
        each = scale.batch_size * self._row()
        steps = scale.taught_steps if scale.tokens is None else max(1, round(scale.tokens / 2 / each))
        settings = TrainSettings(
            steps=steps, batch_size=scale.batch_size, learning_rate=scale.rate, seed=self.seed,
            save_steps=steps, warmup_steps=max(1, steps // 10), bf16=False,
        )  # fmt: skip
        fine_tune(load_model(str(self.lessons.policy)), self.tokenizer, [path], settings, out)
        sampled = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["sampled"]
        trained = self.lessons.tokens + steps * each
        write_whole(out / SPENT, json.dumps({"sampled": sampled, "trained": trained}))

    def _row(self) -> float:
        """Mean ids of a trace of two attempts and its prompt."""
        rows = read_traces(self.traces(), self.tokenizer)
        return sum(len(row.prompt_ids) + len(row.response_ids) for row in rows) / len(rows)

    def _stage(
        self, stage: TurnStage, start: Arm, times: int, alpha: float | None = None
    ) -> Callable[[Path], None]:
        factor = self.scale.alpha if alpha is None else alpha
        hold = self.scale.first_hold if stage is TurnStage.HOLD else self.scale.hold
        rollouts = TurnRollouts(self.request, stage, factor, hold)
        return partial(self._train, rollouts, start, times)

    def _train(self, rollouts: TurnRollouts, start: Arm, times: int, out: Path) -> None:
        model = on_accelerator(load_model(str(self.model(start)), dtype="float32"))
        settings = load({"max_backtracks": 0, "metrics": {"judged_per_step": 0}})
        scale, steps = self.scale, self.scale.stage_steps
        if scale.tokens is not None:  # each answer goes through the policy, and through the reference
            steps = max(1, round(scale.tokens / 4 / (2 * scale.prompts * scale.group * self._row())))
        steps *= times
        train_policy(
            model, self.tokenizer, self.trained_on, settings, self.grpo(steps), out=out,
            progress=show_progress, rollouts=rollouts, reference=deepcopy(model).eval(),
        )  # fmt: skip
        answers, posed = self.scale.prompts * self.scale.group, self.trained_on
        sampled = sum((line["backtrack/raw_length"]) * answers for line in logged_records(out / METRICS))
        given = sum(len(problem.prompt) for problem in posed) / len(posed) + len(self.request)
        read = sampled + steps * answers * given
        before = self.spent(start)
        # Each answer is read once by the policy with gradients, and once by the reference.
        told = {"sampled": before["sampled"] + sampled, "trained": before["trained"] + 2 * read}
        write_whole(out / SPENT, json.dumps(told))
