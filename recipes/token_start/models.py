"""The models of one seed: a plain one, and what starts of the token, or words, make of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from halluc_plugin.atomic_files import make_folder
from halluc_plugin.data.trace_files import TraceRow, read_traces, write_traces
from halluc_plugin.edits import EditVocab
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.errors import SettingsError
from halluc_plugin.losses.shares import LossShares
from halluc_plugin.problem_sets.steps import Problem, StepSplit, generate
from halluc_plugin.recipes.lab.keeping import kept_model
from halluc_plugin.recipes.token_start.scale import Scale
from halluc_plugin.recipes.when_it_pays.asked import Asked
from halluc_plugin.recipes.when_it_pays.specs import Form, Spec
from halluc_plugin.recipes.when_it_pays.writers import write_form
from halluc_plugin.scratch.model import new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, STEP_TOKEN, Initialisation, add_edit_tokens, vocab_of
from halluc_plugin.tokens.loading import load_model, load_tokenizer, on_accelerator
from halluc_plugin.traces import marker_twin
from halluc_plugin.training import TrainSettings, fine_tune

TOKENS = (BACKTRACK_TOKEN, STEP_TOKEN)
"""The tokens that are added; the traces have the second alone."""


class Wording(StrEnum):
    """The text that takes a line back where there is no token for it."""

    MARK = "~"
    """One character, without a meaning."""
    WEAK = "wait"
    """The word of s1 and of verifiable backtracking."""
    STRONG = "that is wrong"
    """Words that leave no doubt, which a verified error allows."""


@dataclass(frozen=True)
class Models:
    """One seed.

    Attributes:
        out: Folder of the experiment.
        scale: How much of everything.
        seed: Seed of problems, weights, order of the data and samples.
        base: Folder of a pretrained model that all begin with; None for one from scratch.
    """

    out: Path
    scale: Scale
    seed: int
    base: Path | None = None

    @property
    def folder(self) -> Path:
        """What belongs to this seed."""
        return self.out / f"seed-{self.seed}"

    def plain_tokenizer(self) -> Any:
        """Return a tokenizer before the tokens are added.

        Raises:
            SettingsError: It has one of them.
        """
        if self.base is None:
            return number_tokenizer()
        tokenizer = load_tokenizer(str(self.base))
        there = [token for token in TOKENS if token in tokenizer.get_vocab()]
        if there:
            raise SettingsError(
                f"{self.base} has {there[0]} already, so that nothing can be said of its start.",
                "Give a model without edit tokens.",
            )
        return tokenizer

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer with the tokens."""
        from tokenizers import AddedToken

        tokenizer = self.plain_tokenizer()
        tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in TOKENS])
        return tokenizer

    @cached_property
    def vocab(self) -> EditVocab:
        """The edit vocabulary of the tokenizer."""
        return vocab_of(self.tokenizer)

    def asked(self, count: int) -> Asked:
        """Return the first held-out problems."""
        drawn = generate(self._spec.problems, StepSplit.TEST, self.scale.test)[:count]
        source = self.scale.problems.sources[0]
        return Asked(drawn, source, self.tokenizer, self.scale.max_tokens, self.seed)

    def mark(self, wording: Wording) -> tuple[int, ...]:
        """Return the ids of a text that takes a line back."""
        return tuple(self.tokenizer.encode(str(wording), add_special_tokens=False))

    @property
    def _spec(self) -> Spec:
        problems = replace(self.scale.problems, seed=self.seed)
        return Spec(problems, Form.SOFT, self.scale.steps, max_tokens=self.scale.max_tokens)

    def clean(self) -> Path:
        """Return the folder of the model that answers plainly, without the tokens, trained on first use."""
        if self.base is not None and not self.scale.clean_steps:
            return self.base

        def train(folder: Path) -> None:
            tokenizer, path = self.plain_tokenizer(), self.folder / "clean.parquet"
            make_folder(path.parent)
            write_traces(path, (_plain(problem, tokenizer) for problem in self._drawn()), tokenizer)
            if self.base is None:
                model = new_model(tokenizer, self.scale.size, seed=self.seed)
            else:
                model = load_model(str(self.base), dtype="float32")
            settings = self._settings(self.scale.clean_steps)
            fine_tune(on_accelerator(model), tokenizer, [path], settings, folder)

        return kept_model(self.folder / "clean", train)

    def started(self, how: Initialisation) -> Any:
        """Return the plain model with the tokens, whose rows nothing has trained."""
        model, tokenizer = load_model(str(self.clean()), dtype="float32"), self.plain_tokenizer()
        add_edit_tokens(model, tokenizer, TOKENS, how=how, seed=self.seed)
        return on_accelerator(model).eval()

    def tuned(self, how: Initialisation, callbacks: Sequence[TrainerCallback] = ()) -> Path:
        """Return the folder of a model after training on traces that erase, which it is on first use."""
        return kept_model(
            self.folder / f"token-{how}",
            lambda folder: self._teach(how, self.traces(), folder, callbacks),
        )

    def worded(self, wording: Wording) -> Path:
        """Return the folder of a model that takes back in words, trained on first use from the same start."""
        name = f"words-{wording.name.lower()}"
        return kept_model(
            self.folder / name,
            lambda folder: self._teach(Initialisation.MEAN, self._twins(wording, name), folder, ()),
        )

    def _teach(
        self, how: Initialisation, path: Path, folder: Path, callbacks: Sequence[TrainerCallback]
    ) -> None:
        settings = replace(
            self._settings(self.scale.steps),
            erased_tokens=ErasedTokens.KEEP,
            shares=LossShares(decisions=0.5),
        )
        fine_tune(self.started(how), self.tokenizer, [path], settings, folder, callbacks=callbacks)

    def _settings(self, steps: int) -> TrainSettings:
        return TrainSettings(
            steps=steps, batch_size=self.scale.batch, learning_rate=self.scale.rate, save_steps=steps,
            warmup_steps=self.scale.warmup, seed=self.seed,
        )  # fmt: skip

    def _drawn(self) -> Sequence[Problem]:
        return generate(self._spec.problems, StepSplit.TRAIN, self.scale.train)

    def traces(self) -> Path:
        """Return the file of training traces that erase, written on first use."""
        return self._written("traces.parquet", self._drawn)

    def held_out(self) -> list[TraceRow]:
        """Return held-out traces that erase."""
        path = self._written("read.parquet", lambda: self.asked(self.scale.read).problems)
        return list(read_traces(path, self.tokenizer))

    def _written(self, name: str, drawn: Any) -> Path:
        path = self.folder / name
        if not path.exists():
            make_folder(path.parent)
            write_form(path, self._spec, drawn(), self.tokenizer)
        return path

    def _twins(self, wording: Wording, name: str) -> Path:
        path = self.folder / f"{name}.parquet"
        if not path.exists():
            mark, rows = self.mark(wording), read_traces(self.traces(), self.tokenizer)
            twins = ((row, marker_twin(row.response_ids, mark, self.vocab)) for row in rows)
            told = (TraceRow(row.prompt_ids, list(t.ids), list(t.erased)) for row, t in twins)
            write_traces(path, told, self.tokenizer)
        return path


def _plain(problem: Problem, tokenizer: Any) -> TraceRow:
    prompt = tokenizer.encode(problem.prompt, add_special_tokens=False)
    lines = (token for step in problem.steps for token in tokenizer.encode(step, add_special_tokens=False))
    return TraceRow(list(prompt), [*lines, int(tokenizer.eos_token_id)])
