"""The models of one seed of a task: one policy, and what each rival makes of it with equal trained tokens."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.data.resumable import PartedFile
from halluc_plugin.data.trace_files import FINGERPRINT, TraceRow, fingerprint, read_traces, write_traces
from halluc_plugin.edits import Context, EditVocab
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.losses.preference import PreferenceSettings
from halluc_plugin.own_errors.contrast_rows import Contrasts, Kind
from halluc_plugin.own_errors.pair_rows import SiblingPairs
from halluc_plugin.problem_sets.steps import StepSplit
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.lab.keeping import kept_model
from halluc_plugin.recipes.lab.pair_budget import pair_budget
from halluc_plugin.recipes.prm_backtracking.models import PART
from halluc_plugin.recipes.prm_backtracking.policy_seed import PolicySeed
from halluc_plugin.recipes.prm_backtracking.tasks import DELIMITER, Task
from halluc_plugin.recipes.revise import models as revise
from halluc_plugin.recipes.rivals.scale import Scale
from halluc_plugin.recipes.score import models as score
from halluc_plugin.rl.grpo import METRICS, train_policy
from halluc_plugin.rl.reset_rollouts import ResetRollouts
from halluc_plugin.rl.settings import GrpoSettings
from halluc_plugin.run_metrics import logged_records
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.scorers.step_oracle import StepOracle
from halluc_plugin.settings import load
from halluc_plugin.tokens import BACKTRACK_TOKEN, RESTART_TOKEN, STEP_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_model, on_accelerator
from halluc_plugin.traces import marker_twin
from halluc_plugin.training import TrainSettings, fine_tune
from halluc_plugin.training.prefer_settings import PreferSettings
from halluc_plugin.training.preferring import prefer

EDIT_TOKENS = (BACKTRACK_TOKEN, STEP_TOKEN, RESTART_TOKEN)
MARK = "~"
"""The text that takes a line back where there is no token for it."""
SPENT = "tokens.json"


class Arm(StrEnum):
    """What was trained."""

    CLEAN = "clean"
    """More clean answers; one answer, a majority and best-of-N are all of this model's samples."""
    ENTROPY = "clean, entropy erases"
    """The clean model: a step of high entropy is erased in hard context, without training."""
    HEAD = "clean, a head erases"
    """The clean model: a step is erased that a verifier head on its hidden states holds for dead."""
    SOFT = "soft token"
    """Traces that take steps back, in soft context."""
    HARD = "hard token"
    """Traces for hard context, which cannot remember: on words they begin anew."""
    ANEW = "soft token, begins anew"
    """The traces of the hard token in soft context, on words, where they are others than the soft token's."""
    TEXT = "text search"
    """The traces of soft context with a text mark in the place of the token."""
    REVISE = "ReVISE"
    """Verify, then correct a finished answer (arXiv 2502.14565)."""
    SCORE = "SCoRe"
    """Two attempts in turns, in two stages (arXiv 2409.12917)."""
    RESET = "reset training"
    """Suffixes behind a step of a failed answer, RRPO (arXiv 2605.25507)."""
    DPO = "DPO on traces"
    """Half of the tokens on the traces of the soft token, half on pairs with an edit at a wrong place."""
    SVPO = "SVPO"
    """Steps after one prefix of which one can still be right (arXiv 2406.10858), by the oracle."""

    @classmethod
    def of(cls, task: Task) -> "list[Arm]":
        """Return the arms of a task."""
        return [arm for arm in cls if arm is not cls.ANEW or task is Task.WORD]


@dataclass(frozen=True)
class Models(PolicySeed):
    """One seed of a task; :class:`PolicySeed` has its attributes."""

    scale: Scale
    edit_tokens: tuple[str, ...] = EDIT_TOKENS

    @cached_property
    def vocab(self) -> EditVocab:
        """The edit vocabulary of the tokenizer."""
        return vocab_of(self.tokenizer, step_delimiter=DELIMITER)

    @cached_property
    def mark(self) -> int:
        """The id of the text that takes a line back."""
        (token,) = self.tokenizer.encode(MARK, add_special_tokens=False)
        return int(token)

    @cached_property
    def revising(self) -> revise.Models:
        """ReVISE's models, which begin with the same policy."""
        return revise.Models(self.out, self.scale.revising(self.task), self.task, self.seed, EDIT_TOKENS)

    @cached_property
    def scoring(self) -> score.Models:
        """SCoRe's models, which begin with the same policy."""
        return score.Models(self.out, self.scale.scoring(self.task), self.task, self.seed, EDIT_TOKENS)

    @property
    def asked(self) -> list[PosedProblem]:
        """The held-out problems."""
        return self.posed(StepSplit.TEST)

    def posed(self, split: StepSplit) -> list[PosedProblem]:
        """Return problems: those that are trained on, or held-out ones."""
        count = self.scale.asked[self.task] if split is StepSplit.TEST else self.scale.problems
        return self.problems.posed(split, count)

    @property
    def longest(self) -> int:
        """Most tokens of an answer without edits."""
        return self.scale.policy.sizes.longest(self.task)

    def model(self, arm: Arm) -> Path:
        """Return the folder of an arm's model, trained on first use."""
        if arm in {Arm.ENTROPY, Arm.HEAD}:
            return self.model(Arm.CLEAN)
        if arm is Arm.REVISE:
            return self.revising.model(revise.Arm.REVISE)
        if arm is Arm.SCORE:
            return self.scoring.model(score.Arm.SCORE)
        train = self._trainer(arm)
        return kept_model(self.folder / "models" / f"rival-{arm.name.lower()}", train)

    def _trainer(self, arm: Arm) -> Callable[[Path], None]:
        start, tokens = self.lessons.policy, self.scale.tokens[self.task]
        if arm is Arm.RESET:
            return self._reset
        if arm is Arm.DPO:
            return self._prefer_traces
        if arm is Arm.SVPO:
            return partial(self._prefer, arm, start, tokens)
        return partial(self._teach, arm, tokens, start)

    def spent(self, arm: Arm) -> dict[str, float]:
        """Return the ids that were sampled, and that went through models in training, behind the policy's."""
        if arm is Arm.REVISE:
            told = self.revising.tokens(revise.Arm.REVISE)
        elif arm is Arm.SCORE:
            told = self.scoring.spent(score.Arm.SCORE)
        else:
            read: dict[str, float] = json.loads((self.model(arm) / SPENT).read_text(encoding="utf-8"))
            return read
        return {**told, "trained": told["trained"] - self.lessons.tokens}

    def traces(self, arm: Arm) -> Path:
        """Return the file of an arm's traces."""
        most = self.scale.policy.lessons[self.task][-1][0]
        erasing, hard = arm is not Arm.CLEAN, arm in {Arm.HARD, Arm.ANEW}
        path = self.problems.traces(self.scale.policy.train, most, erasing=erasing, hard=hard)
        if arm is not Arm.TEXT:
            return path
        words = path.with_name("words.parquet")
        if not words.exists():
            rows = read_traces(path, self.tokenizer)
            twins = ((row, marker_twin(row.response_ids, (self.mark,), self.vocab)) for row in rows)
            told = (TraceRow(row.prompt_ids, list(t.ids), list(t.erased)) for row, t in twins)
            write_traces(words, told, self.tokenizer)
        return words

    def _teach(self, arm: Arm, tokens: float, start: Path, out: Path) -> None:
        path = self.traces(arm)
        rows = read_traces(path, self.tokenizer)
        length = sum(len(row.prompt_ids) + len(row.response_ids) for row in rows) / len(rows)
        steps = max(1, round(tokens / length / self.scale.batch_size))
        settings = self._settings(steps, self.scale.rate)
        if arm is not Arm.CLEAN:
            context = Context.HARD if arm is Arm.HARD else Context.SOFT
            settings = replace(settings, context=context, erased_tokens=ErasedTokens.KEEP)
        fine_tune(load_model(str(start), dtype="float32"), self.tokenizer, [path], settings, out)
        self._told(out, 0.0, steps * self.scale.batch_size * length)

    def _settings(self, steps: int, rate: float) -> TrainSettings:
        return TrainSettings(
            steps=steps, batch_size=self.scale.batch_size, learning_rate=rate, seed=self.seed,
            save_steps=steps, warmup_steps=max(1, steps // 10), bf16=False,
        )  # fmt: skip

    def _prefer_traces(self, out: Path) -> None:
        begun = self.folder / "models" / "rival-dpo-start"
        half = self.scale.tokens[self.task] / 2
        start = kept_model(begun, partial(self._teach, Arm.SOFT, half, self.lessons.policy))
        self._prefer(Arm.DPO, start, half, out, before=json.loads((start / SPENT).read_text()))

    def _prefer(
        self, arm: Arm, start: Path, tokens: float, out: Path, before: dict[str, float] | None = None
    ) -> None:
        pairs, sampled = self._pairs(arm)
        told = pair_budget(pairs, self.tokenizer, tokens, self.scale.batch_size, self.seed)
        settings = PreferSettings(
            replace(PreferenceSettings(), beta=self.scale.beta),
            self._settings(told.steps, self.scale.pair_rate), held_out=0.0, imitation=self.scale.imitation,
        )  # fmt: skip
        model = load_model(str(start), dtype="float32")
        prefer(model, self.tokenizer, [told.path], settings, out, reference=model)
        self._told(out, sampled, (before or {}).get("trained", 0.0) + told.trained)

    def _pairs(self, arm: Arm) -> tuple[Path, float]:
        """The file of an arm's pairs, and the tokens that were sampled for it."""
        path, scale = self.folder / "pairs" / f"rival-{arm.name.lower()}.parquet", self.scale
        if not path.exists():
            items: list[Any]
            if arm is Arm.DPO:
                rows = read_traces(self.traces(Arm.SOFT), self.tokenizer)[: scale.problems]
                items = [(row, None) for row in rows]
                ends = self.clean_space.eos_ids
                make: Any = Contrasts(Kind.MOVED, self.vocab, ends, self.tokenizer, scale.most, self.seed)
            else:
                items = self.posed(StepSplit.TRAIN)
                sampler = self.sampler_of(self.lessons.policy, salt=2)
                rater = StepOracle(items, self.tokenizer, self.clean_space.eos_ids)
                make = SiblingPairs(
                    sampler, self.clean_space, rater, scale.samples, 0.5, scale.most, self.seed
                )
            described = {"arm": str(arm), "scale": asdict(scale)}
            file: Any = PartedFile(path, make, described, {FINGERPRINT: fingerprint(self.tokenizer)}, PART)
            _, counts = file.write(items, progress=show_progress, what="pairs looked for")
            write_whole(path.with_suffix(".json"), json.dumps(dict(counts)))
        return path, json.loads(path.with_suffix(".json").read_text(encoding="utf-8")).get("tokens", 0)

    def _reset(self, out: Path) -> None:
        scale, posed = self.scale, self.posed(StepSplit.TRAIN)
        prompt = sum(len(problem.prompt) for problem in posed) / len(posed)
        length = prompt + scale.policy.sizes.right(self.task)
        steps = max(1, round(scale.tokens[self.task] / (scale.prompts * scale.group * length)))
        run = GrpoSettings(
            steps=steps, prompts=scale.prompts, group=scale.group, max_actions=self.longest,
            learning_rate=scale.reset_rate, seed=self.seed,
        )  # fmt: skip
        model = on_accelerator(load_model(str(self.lessons.policy), dtype="float32"))
        settings = load({"max_backtracks": 0, "metrics": {"judged_per_step": 0}})
        train_policy(
            model, self.tokenizer, posed, settings, run, out=out, progress=show_progress,
            rollouts=ResetRollouts(),
        )  # fmt: skip
        written = [line["backtrack/raw_length"] for line in logged_records(out / METRICS)]
        answers = scale.prompts * scale.group
        # What is kept of failed answers is counted as sampled, too: an upper bound.
        self._told(out, answers * sum(written), answers * (sum(written) + prompt * steps))

    @staticmethod
    def _told(out: Path, sampled: float, trained: float) -> None:
        write_whole(out / SPENT, json.dumps({"sampled": sampled, "trained": trained}))
