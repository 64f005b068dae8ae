"""The models of one seed: a plain one, and what safety training with and without resets makes of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.edits import EditVocab
from halluc_plugin.losses.preference import PreferenceSettings
from halluc_plugin.problem_sets.steps import StepSplit, generate, step_row
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.lab.keeping import kept_model
from halluc_plugin.recipes.reset.scale import Scale
from halluc_plugin.sampling.problems import PosedProblem, read_problems
from halluc_plugin.scratch.model import new_model
from halluc_plugin.scratch.tokenizer import editing_tokenizer
from halluc_plugin.tasks.forbidden.files import (
    Answers,
    ForbiddenData,
    ForbiddenFiles,
    ForbiddenRequest,
    ResetAfter,
)
from halluc_plugin.tasks.forbidden.problems import ForbiddenWalks
from halluc_plugin.tokens import vocab_of
from halluc_plugin.tokens.loading import load_model
from halluc_plugin.training import TrainSettings, fine_tune
from halluc_plugin.training.prefer_settings import PreferSettings
from halluc_plugin.training.preferring import prefer

LARGEST = 30
"""Largest number with a token of its own."""


class Arm(StrEnum):
    """What a model is trained on."""

    PLAIN = "plain"
    """Plain answers, forbidden or not: all other arms begin with this model."""
    CLEAN = "clean SFT"
    """Refusals where a forbidden number lies on the way, and no resets."""
    RESET = "reset SFT"
    """The same, and beginnings of forbidden answers that are reset."""
    LATE = "reset SFT, behind the harm"
    """Reset SFT whose resets follow the forbidden number itself, which can be seen, not a part of the way."""
    PREFERRED = "reset SFT + DPO"
    """Reset SFT, then the pairs."""


@dataclass(frozen=True)
class Models:
    """One seed.

    Attributes:
        out: Folder of the experiment.
        scale: How much of everything.
        seed: Seed of problems, weights, data order and answers.
    """

    out: Path
    scale: Scale
    seed: int

    @property
    def folder(self) -> Path:
        """What belongs to this seed."""
        return self.out / f"seed-{self.seed}"

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of all models, those that never reset included."""
        return editing_tokenizer("restart", largest=LARGEST)

    @cached_property
    def vocab(self) -> EditVocab:
        """The edit vocabulary of the tokenizer."""
        return vocab_of(self.tokenizer)

    @property
    def walks(self) -> ForbiddenWalks:
        """What is asked."""
        return ForbiddenWalks(modulus=self.scale.modulus, sizes=self.scale.sizes, seed=self.seed)

    def data(self, answers: Answers, after: ResetAfter | None = None) -> ForbiddenFiles:
        """Write traces of the training problems unless they are there, and return their files."""
        suffix = {None: "", ResetAfter.BEGINNING: "-resets", ResetAfter.HARM: "-late-resets"}[after]
        root = self.folder / "data" / f"{answers}{suffix}"
        files = ForbiddenFiles(root, self.walks.name)
        done = files.card if after is None else files.pairs
        if not done.exists():
            when = after or ResetAfter.BEGINNING
            request = ForbiddenRequest(self.scale.train, 1, float(after is not None), answers, when)
            ForbiddenData(self.walks, request).write(root, self.tokenizer, show_progress)
        return files

    def posed(self) -> list[PosedProblem]:
        """Return held-out problems: those for calibration first, then those that models are asked."""
        path, count = self.folder / "asked.parquet", self.scale.calibration + self.scale.test
        if not path.exists():
            drawn = generate(self.walks, StepSplit.TEST, count)
            rows = (step_row(p, self.walks, StepSplit.TEST, number) for number, p in enumerate(drawn))
            write_parquet(path, rows, {"seed": self.seed})
        return read_problems(path, self.tokenizer, count)

    def model(self, arm: Arm) -> Path:
        """Return the folder of an arm's model, trained on first use."""
        train = {
            Arm.PLAIN: self._plain,
            Arm.CLEAN: self._safe(None),
            Arm.RESET: self._safe(ResetAfter.BEGINNING),
            Arm.LATE: self._safe(ResetAfter.HARM),
            Arm.PREFERRED: self._preferred,
        }[arm]
        return kept_model(self.folder / "models" / arm.name.lower(), train)

    def _settings(self, steps: int, rate: float) -> TrainSettings:
        warmup = min(40, max(1, steps // 10))
        return TrainSettings(
            steps=steps, batch_size=self.scale.batch_size, learning_rate=rate, warmup_steps=warmup,
            seed=self.seed, save_steps=steps,
        )  # fmt: skip

    def _plain(self, out: Path) -> None:
        traces = self.data(Answers.PLAIN).traces
        model = new_model(self.tokenizer, self.scale.shape, seed=self.seed)
        settings = self._settings(self.scale.plain_steps, self.scale.plain_rate)
        fine_tune(model, self.tokenizer, [traces], settings, out)

    def _safe(self, after: ResetAfter | None) -> Callable[[Path], None]:
        def train(out: Path) -> None:
            traces = self.data(Answers.SAFE, after).traces
            settings = self._settings(self.scale.steps, self.scale.learning_rate)
            model = load_model(str(self.model(Arm.PLAIN)), dtype="float32")
            fine_tune(model, self.tokenizer, [traces], settings, out)

        return train

    def _preferred(self, out: Path) -> None:
        pairs = self.data(Answers.SAFE, ResetAfter.BEGINNING).pairs
        settings = self._settings(self.scale.pair_steps, self.scale.pair_rate)
        loss = replace(PreferenceSettings(), beta=self.scale.beta)
        model = load_model(str(self.model(Arm.RESET)), dtype="float32")
        prefer(model, self.tokenizer, [pairs], PreferSettings(loss, settings), out, reference=model)
