"""Keep an experiment's data, models and cells, each made once, so that a run can be resumed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.edits import Context, EditVocab, find_delimiters
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.problem_sets.raw_traces import Edit, Ending
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.lab.keeping import kept_cell, kept_model
from halluc_plugin.recipes.self_backtracking.scale import Models, Scale
from halluc_plugin.sampling.problems import PosedProblem as AskedProblem
from halluc_plugin.sampling.problems import read_problems
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.search import Space
from halluc_plugin.tasks.countdown.errors import ErrorMix
from halluc_plugin.tasks.countdown.files import CountdownFiles, CountdownRequest, problem_row, write_countdown
from halluc_plugin.tasks.countdown.problems import CountdownSettings, Problem, Split, draw_variants
from halluc_plugin.tasks.countdown.traces import TraceSettings
from halluc_plugin.tokens import BACKTRACK_TOKEN, STEP_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_model
from halluc_plugin.training import TrainSettings, fine_tune

MAX_TOKENS = 40
"""Largest number of tokens of an answer: twice the longest, with room for what is taken back."""
PEAK = {Size.TINY: 2e-3, Size.SMALL: 1.5e-3, Size.MEDIUM: 1e-3}
"""Learning rates of training from scratch."""
TUNING_RATE = 5e-4


def paper_traces(mix: ErrorMix | None = None) -> TraceSettings:
    """Return the settings of traces as in the paper: whole steps are taken back, and a trace ends there."""
    return TraceSettings(edit=Edit.STEP, ending=Ending.BACKTRACK, mix=mix or ErrorMix())


@dataclass(frozen=True)
class Bench:
    """One seed of an experiment, with one kind of model.

    Attributes:
        out: Folder of the experiment.
        scale: The scale of the experiment.
        seed: Seed of problems, weights, data order and samples.
        large: Whether the models are the main ones, those of stages 1 and 4.
    """

    out: Path
    scale: Scale
    seed: int
    large: bool = False

    @property
    def folder(self) -> Path:
        """The folder of this seed and kind of model."""
        return self.out / f"seed-{self.seed}" / ("main" if self.large else "small")

    @property
    def models(self) -> Models:
        """The kind of model."""
        return self.scale.main if self.large else self.scale.small

    def of(self, *, large: bool) -> "Bench":
        """Return the bench of the same seed with a kind of model."""
        return replace(self, large=large)

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of all models, those that never backtrack included: their ids are the same."""
        return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN, STEP_TOKEN))

    @cached_property
    def vocab(self) -> EditVocab:
        """The edit vocabulary of the tokenizer."""
        return vocab_of(self.tokenizer)

    @property
    def settings(self) -> CountdownSettings:
        """The kind of problems."""
        return CountdownSettings(largest_operand=self.models.largest_operand, seed=self.seed)

    def space(self, *, temperature: float, edits_banned: bool = False) -> Space:
        """Return the space in which searches take place."""
        ends = find_delimiters(self.tokenizer, "\n", edit_ids=self.vocab.edit_ids)
        eos = frozenset({int(self.tokenizer.eos_token_id)})
        return Space(self.vocab, eos, ends, MAX_TOKENS, temperature, edits_banned)

    def countdown(
        self, name: str, *, backtracking: float, traces: TraceSettings | None = None
    ) -> CountdownFiles:
        """Return problems, the same under each name, and traces of the training problems."""
        files = CountdownFiles(self.folder / "data" / name)
        if not files.card.exists():
            request = CountdownRequest(
                problems=self.settings,
                train=self.models.train,
                test=self.scale.test,
                backtracking=backtracking,
                traces=traces or TraceSettings(),
            )
            write_countdown(files.root, request, self.tokenizer, show_progress)
        return files

    @property
    def clean(self) -> CountdownFiles:
        """Return problems with traces of optimal paths only."""
        return self.countdown("clean", backtracking=0)

    @property
    def pool(self) -> Path:
        """Return the file of problems that are in no training and in no test set."""
        path = self.folder / "data" / "pool.parquet"
        if not path.exists():
            rows = (problem_row(p, Split.TRAIN, number) for number, p in enumerate(self._pool_problems()))
            write_parquet(path, rows, {"seed": self.seed})
        return path

    def _pool_problems(self) -> Iterable[Problem]:
        first = self.models.train
        return (
            first
            for first, *_ in draw_variants(self.settings, Split.TRAIN, first + self.scale.pool, 1)[first:]
        )

    def asked(self, path: Path, limit: int | None = None) -> list[AskedProblem]:
        """Return the problems of a file, with the prompts that the models are given."""
        return read_problems(path, self.tokenizer, limit)

    def trained(
        self,
        name: str,
        files: Sequence[Path],
        *,
        steps: int | None = None,
        size: Size | None = None,
        start: Path | None = None,
        erased: ErasedTokens = ErasedTokens.MASK,
        context: Context = Context.SOFT,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> Path:
        """Return a model trained on trace files, which is trained on first use.

        Args:
            name: Name of the model's folder.
            files: Trace files.
            steps: Number of optimizer steps, by default those of a model from scratch.
            size: Size of a model from scratch, by default that of the others.
            start: The model from which training starts; None for random weights.
            erased: Whether erased tokens are imitated.
            context: What each action sees in training.
            callbacks: Further callbacks of the trainer.
        """
        size = size or self.models.size
        rate = PEAK[size] if start is None else TUNING_RATE
        settings = replace(
            self.training(steps=steps or self.models.steps, learning_rate=rate, erased=erased),
            context=context,
        )

        def train(folder: Path) -> None:
            if start is None:
                model = new_model(self.tokenizer, size, seed=self.seed)
            else:
                model = load_model(str(start), dtype="float32")
            fine_tune(model, self.tokenizer, files, settings, folder, callbacks=callbacks)

        return self.model(name, train)

    def training(self, *, steps: int, learning_rate: float, erased: ErasedTokens) -> TrainSettings:
        """Return the settings by which every model here is trained."""
        return TrainSettings(
            steps=steps,
            learning_rate=learning_rate,
            erased_tokens=erased,
            bf16=True,
            seed=self.seed,
        )

    def model(self, name: str, train: Callable[[Path], None]) -> Path:
        """Return the folder of a model, which ``train`` fills on first use."""
        return kept_model(self.folder / "models" / name, train)

    def cell(self, stage: str, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the measurement of a name with its seed, made on first use."""
        path = self.out / "cells" / stage / f"{name}-{self.seed}.json"
        return kept_cell(path, lambda: {"seed": self.seed, "name": name, **measure()})
