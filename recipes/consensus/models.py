"""The models of one seed of a task: a policy that reads answers, and what consensus makes of it."""

import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from halluc_plugin.atomic_files import make_folder, write_whole
from halluc_plugin.data.resumable import PartedFile
from halluc_plugin.data.shown_answers import reading_rows
from halluc_plugin.data.trace_files import FINGERPRINT, fingerprint, read_traces, write_traces
from halluc_plugin.losses.preference import PreferenceSettings
from halluc_plugin.own_errors.consensus_rows import ConsensusPairs
from halluc_plugin.problem_sets.steps import StepSplit
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.consensus.scale import Scale
from halluc_plugin.recipes.lab.keeping import kept_model
from halluc_plugin.recipes.lab.pair_budget import pair_budget
from halluc_plugin.recipes.prm_backtracking.models import PART
from halluc_plugin.recipes.prm_backtracking.policy_seed import PolicySeed
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.tokens.loading import load_model
from halluc_plugin.training import TrainSettings, fine_tune
from halluc_plugin.training.prefer_settings import PreferSettings
from halluc_plugin.training.preferring import prefer

REQUEST = "?\n"
"""What asks for another answer, in words that the tokenizer of numbers has."""
SPENT = "tokens.json"


class Trained(StrEnum):
    """What was trained."""

    READER = "reader"
    """The policy, fine-tuned on right answers behind its own shown answers, and behind none."""
    MACA = "MACA"
    """The reader, trained on what its copies came to in debates (arXiv 2509.15172)."""


@dataclass(frozen=True)
class Models(PolicySeed):
    """One seed of a task; :class:`PolicySeed` has its attributes."""

    scale: Scale

    @cached_property
    def request(self) -> tuple[int, ...]:
        """Ids of what asks for another answer."""
        return tuple(self.tokenizer.encode(REQUEST, add_special_tokens=False))

    @property
    def longest(self) -> int:
        """Most tokens of an answer."""
        return self.scale.policy.sizes.longest(self.task)

    @property
    def trained_on(self) -> list[PosedProblem]:
        """The problems that are trained on."""
        return self.problems.posed(StepSplit.TRAIN, self.scale.problems)

    def model(self, what: Trained) -> Path:
        """Return the folder of a model, trained on first use."""
        train = self._teach if what is Trained.READER else self._prefer
        return kept_model(self.folder / "models" / what.name.lower(), train)

    def spent(self, what: Trained) -> dict[str, float]:
        """Return the ids that were sampled, and that went through models in training, behind the policy's."""
        told: dict[str, float] = json.loads((self.model(what) / SPENT).read_text(encoding="utf-8"))
        return told

    def traces(self) -> Path:
        """Return the file of right answers behind shown ones, sampled on first use."""
        path, scale = self.folder / "data" / "reading.parquet", self.scale
        if not path.exists():
            make_folder(path.parent)
            rows = self.judged_answers(self.trained_on, scale.answers, salt=1)
            ends = frozenset({int(self.tokenizer.eos_token_id)})
            made = reading_rows(
                rows, self.request, ends, shown_at_most=scale.shown, most=scale.most, seed=self.seed
            )
            sampled = sum(len(step) for row in rows for step in row.step_ids)
            write_whole(path.with_suffix(".json"), json.dumps({"sampled": sampled}))
            write_traces(path, made, self.tokenizer)
        return path

    def pairs(self) -> Path:
        """Return the file of pairs of debates, sampled on first use."""
        path, scale = self.folder / "pairs" / "consensus.parquet", self.scale
        if not path.exists():
            sampler = self.sampler_of(self.model(Trained.READER), salt=2)
            make = ConsensusPairs(
                sampler, self.clean_space, self.tokenizer, scale.copies, scale.rounds, self.request,
                scale.most, self.seed,
            )  # fmt: skip
            metadata: dict[str, Any] = {FINGERPRINT: fingerprint(self.tokenizer)}
            file = PartedFile(path, make, {"scale": asdict(scale)}, metadata, PART)
            _, counts = file.write(self.trained_on, progress=show_progress, what="problems debated")
            write_whole(path.with_suffix(".json"), json.dumps(dict(counts)))
        return path

    def _teach(self, out: Path) -> None:
        path, scale = self.traces(), self.scale
        rows = read_traces(path, self.tokenizer)
        each = scale.batch_size * sum(len(r.prompt_ids) + len(r.response_ids) for r in rows) / len(rows)
        settings = self._settings(max(1, round(scale.tokens / each)), scale.rate)
        fine_tune(load_model(str(self.lessons.policy)), self.tokenizer, [path], settings, out)
        sampled = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["sampled"]
        self._told(out, sampled, settings.steps * each)

    def _prefer(self, out: Path) -> None:
        start, pairs, scale = self.model(Trained.READER), self.pairs(), self.scale
        told = pair_budget(pairs, self.tokenizer, scale.pair_tokens, scale.batch_size, self.seed)
        loss = replace(PreferenceSettings(), beta=scale.beta)
        train = self._settings(told.steps, scale.pair_rate)
        settings = PreferSettings(loss, train, held_out=0.0, imitation=scale.imitation)
        model = load_model(str(start), dtype="float32")
        prefer(model, self.tokenizer, [told.path], settings, out, reference=model)
        before = self.spent(Trained.READER)
        sampled = json.loads(pairs.with_suffix(".json").read_text(encoding="utf-8"))["tokens"]
        self._told(out, before["sampled"] + sampled, before["trained"] + told.trained)

    def _settings(self, steps: int, rate: float) -> TrainSettings:
        return TrainSettings(
            steps=steps, batch_size=self.scale.batch_size, learning_rate=rate, seed=self.seed,
            save_steps=steps, warmup_steps=max(1, steps // 10), bf16=False,
        )  # fmt: skip

    @staticmethod
    def _told(out: Path, sampled: float, trained: float) -> None:
        write_whole(out / SPENT, json.dumps({"sampled": sampled, "trained": trained}))
