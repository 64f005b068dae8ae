"""Train on sums and differences in several bases, answered directly: the paper's ``add_or_sub_in_base``."""

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from halluc_plugin.data.resumable import PartedFile
from halluc_plugin.data.trace_files import FINGERPRINT, fingerprint
from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.edits import Context, EditVocab
from halluc_plugin.problem_sets.references import Injected, Reference, Writing, read_references, text_pool
from halluc_plugin.problem_sets.step_files import StepFiles, StepRequest, write_steps
from halluc_plugin.problem_sets.step_traces import StepTraceSettings
from halluc_plugin.problem_sets.steps import Form, StepSplit
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.lab.judging import judged_cell
from halluc_plugin.recipes.lab.keeping import kept_cell
from halluc_plugin.recipes.sequence_match.arms import ARMS, Noise, trained
from halluc_plugin.recipes.sequence_match.scale import Scale
from halluc_plugin.sampling.problems import PosedProblem, read_problems
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.addition.problems import AdditionProblems
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_model, on_accelerator

RATE, LENGTHS = 0.1, {1: 1.0, 2: 1.0}
BATCH = 512


class Arithmetic:
    """One seed of the arithmetic arms.

    Args:
        out: Folder of the experiment.
        scale: The scale of the experiment.
        seed: Seed of problems, weights, data order and samples.
    """

    def __init__(self, out: Path, scale: Scale, seed: int) -> None:
        self._out, self._scale, self._seed = out, scale, seed
        self._folder = out / f"seed-{seed}" / "arithmetic"

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of all arms."""
        return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))

    @cached_property
    def vocab(self) -> EditVocab:
        """The edit vocabulary of the tokenizer."""
        return vocab_of(self.tokenizer)

    def cells(self) -> Iterator[dict[str, Any]]:
        """Train and measure every arm."""
        for arm in ARMS:
            folder = self._folder / "models" / arm.name.replace(", ", "-").replace(" ", "-")
            files = [self._traces(base, arm.noise) for base in self._scale.bases]
            steps = self._scale.steps
            model = trained(folder, arm, files, self.tokenizer, self._scale, seed=self._seed, steps=steps)
            path = self._out / "cells" / "arithmetic" / f"{folder.name}-{self._seed}.json"
            yield kept_cell(path, partial(self._measure, arm.name, model))

    def _data(self, base: int, noise: Noise) -> StepFiles:
        """Problems of a base, and clean traces or ones with errors of the task."""
        task = AdditionProblems(base, form=Form.DIRECT, sizes=self._scale.sizes, seed=self._seed)
        files = StepFiles(self._folder / "data" / f"{base}-{noise}", task.name)
        if not files.card.exists():
            amount = 1.0 if noise is Noise.TASK else 0.0
            request = StepRequest(self._scale.train, self._scale.test, amount, StepTraceSettings(rate=RATE))
            write_steps(files.root, task, request, self.tokenizer, show_progress)
        return files

    def _traces(self, base: int, noise: Noise) -> Path:
        if noise is not Noise.RANDOM:
            return self._data(base, noise).traces
        path = self._folder / "data" / f"{base}-{noise}.parquet"
        if not path.exists():
            problems = self._data(base, Noise.NONE).problems(StepSplit.TRAIN)
            writing = Writing(self.vocab, frozenset({int(self.tokenizer.eos_token_id)}))
            pool = text_pool(self.tokenizer, self.vocab)
            make = Injected(writing, pool, RATE, LENGTHS, copies=1, seed=self._seed)
            metadata = {"seed": self._seed, FINGERPRINT: fingerprint(self.tokenizer)}
            file: PartedFile[Reference] = PartedFile(path, make, metadata, metadata)
            file.write(read_references(problems, self.tokenizer))
        return path

    def _problems(self) -> list[PosedProblem]:
        files = [self._data(base, Noise.NONE).problems(StepSplit.TEST) for base in self._scale.bases]
        return [problem for file in files for problem in read_problems(file, self.tokenizer)]

    def _measure(self, arm: str, folder: Path) -> dict[str, Any]:
        model, problems = on_accelerator(load_model(str(folder), dtype="float32")).eval(), self._problems()
        cell: dict[str, Any] = {"arm": arm, "seed": self._seed}
        for name, temperature, budget in (("greedy", 0.0, None), ("banned", 0.0, 0), ("T=1", 1.0, None)):
            traces = self._decoded(model, problems, temperature, budget)
            cell[name] = judged_cell(traces, problems, self.tokenizer, self.vocab)
        return cell

    def _decoded(
        self, model: Any, problems: Sequence[PosedProblem], temperature: float, budget: int | None
    ) -> list[list[int]]:
        decoding = Decoding(
            self.vocab, self._scale.matching.max_actions, Context.HARD, temperature=temperature,
            budget=budget, tabu=temperature == 0, eos_ids=frozenset({int(self.tokenizer.eos_token_id)}),
        )  # fmt: skip
        generator = torch.Generator(model.device).manual_seed(self._seed)
        traces: list[list[int]] = []
        for start in range(0, len(problems), BATCH):
            prompts = [problem.prompt for problem in problems[start : start + BATCH]]
            traces += [trace.ids for trace in decode(model, prompts, decoding, generator=generator)]
        return traces
