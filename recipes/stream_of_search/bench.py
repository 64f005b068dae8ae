"""Keep an experiment's data and models, each made once, so that a run can be resumed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from halluc_plugin.data.trace_files import TraceRow, write_traces
from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.edits import Context, EditVocab
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.lab.keeping import kept_model
from halluc_plugin.recipes.stream_of_search.scale import Scale
from halluc_plugin.sampling.problems import PosedProblem, read_problems
from halluc_plugin.scratch.model import new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.countdown.files import CountdownFiles, CountdownRequest, write_countdown
from halluc_plugin.tasks.countdown.problems import CountdownSettings
from halluc_plugin.tasks.countdown.streams.files import AnswerFormat, StreamSettings
from halluc_plugin.tokens import vocab_of
from halluc_plugin.tokens.loading import load_model, on_accelerator
from halluc_plugin.training import TrainSettings, fine_tune
from halluc_plugin.verifiers import Outcome

PEAK, TUNING_RATE = 2e-3, 5e-4
"""Learning rates from scratch, and of each round of policy improvement."""
STAR_TEMPERATURE = 0.8  # the released code's
BATCH, MICRO = 256, 8


@dataclass(frozen=True)
class Bench:
    """One seed of the experiment.

    Attributes:
        out: Folder of the experiment.
        scale: The scale of the experiment.
        seed: Seed of problems, weights, data order and samples.
    """

    out: Path
    scale: Scale
    seed: int

    @property
    def folder(self) -> Path:
        """The folder of this seed."""
        return self.out / f"seed-{self.seed}"

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of all models; it has no edit token."""
        return number_tokenizer()

    @cached_property
    def vocab(self) -> EditVocab:
        """The vocabulary of the tokenizer, in which nothing edits."""
        return vocab_of(self.tokenizer)

    @property
    def settings(self) -> CountdownSettings:
        """The kind of problems."""
        scale = self.scale
        return CountdownSettings(
            largest_operand=scale.largest_operand, largest_target=scale.largest_target, seed=self.seed
        )

    def data(self, form: AnswerFormat) -> CountdownFiles:
        """Return the problems, the same for each form, and streams of the training problems."""
        files = CountdownFiles(self.folder / "data" / form)
        if not files.card.exists():
            request = CountdownRequest(
                problems=self.settings,
                train=self.scale.train,
                test=self.scale.test,
                streams=StreamSettings(form, self.scale.longest),
            )
            write_countdown(files.root, request, self.tokenizer, show_progress)
        return files

    def problems(self, path: Path, limit: int | None = None) -> list[PosedProblem]:
        """Return the problems of a file."""
        return read_problems(path, self.tokenizer, limit)

    def trained(self, name: str, file: Path, steps: int, start: Path | None = None) -> Path:
        """Return a model, trained on first use: from scratch, or from a model."""

        def train(folder: Path) -> None:
            settings = TrainSettings(
                steps=steps,
                batch_size=self.scale.batch_size,
                micro_batch_size=MICRO,
                learning_rate=PEAK if start is None else TUNING_RATE,
                warmup_steps=min(40, steps),
                bf16=False,
                seed=self.seed,
            )
            if start is None:
                model = new_model(self.tokenizer, self.scale.size, seed=self.seed)
            else:
                model = load_model(str(start), dtype="float32")
            fine_tune(model, self.tokenizer, [file], settings, folder)

        return kept_model(self.folder / "models" / name, train)

    def answered(
        self, folder: Path, problems: Sequence[PosedProblem], *, temperature: float, copies: int = 1
    ) -> list[list[int]]:
        """Return the ids of answers: ``copies`` for each problem, one problem after the other."""
        model = on_accelerator(load_model(str(folder), dtype="float32")).eval()
        decoding = Decoding(
            self.vocab, self.scale.longest, Context.SOFT, temperature=temperature,
            eos_ids=frozenset({int(self.tokenizer.eos_token_id)}),
        )  # fmt: skip
        generator = torch.Generator(model.device).manual_seed(self.seed)
        prompts = [problem.prompt for problem in problems for _ in range(copies)]
        found: list[list[int]] = []
        for start in range(0, len(prompts), BATCH):
            batch = decode(model, prompts[start : start + BATCH], decoding, generator=generator)
            found += [trace.ids for trace in batch]
        return found

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of an answer, without EOS."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def collected(self, name: str, folder: Path) -> Path | None:
        """Return the shortest right answer of a model to each training problem; None if it has none.

        This is STaR's step; that a shorter search is preferred is what the paper's rating rewards.
        """
        path = self.folder / "data" / f"{name}.parquet"
        if not path.exists():
            problems = self.problems(self.data(AnswerFormat.STREAM).train, self.scale.pool)
            copies = self.scale.answers
            ids = self.answered(folder, problems, temperature=STAR_TEMPERATURE, copies=copies)
            rows = []
            for number, problem in enumerate(problems):
                ours = ids[number * copies : (number + 1) * copies]
                right = [one for one in ours if self.right(problem, one)]
                rows += [TraceRow(list(problem.prompt), min(right, key=len))] if right else []
            if not rows:
                return None
            write_traces(path, rows, self.tokenizer)
        return path

    def right(self, problem: PosedProblem, ids: Sequence[int]) -> bool:
        """Return whether an answer is right, by the verifier that uses each number once."""
        return problem.verifier.verify(problem.truth, self.text(ids)) is Outcome.CORRECT
