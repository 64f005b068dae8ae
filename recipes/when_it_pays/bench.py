"""The data and models of one seed, made on first use and kept."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

from transformers import TrainerCallback

from halluc_plugin.atomic_files import make_folder, write_whole
from halluc_plugin.data.trace_files import TraceRow, read_traces
from halluc_plugin.problem_sets.steps import StepSplit, generate
from halluc_plugin.recipes.lab.keeping import kept_model
from halluc_plugin.recipes.when_it_pays.answering import accuracy
from halluc_plugin.recipes.when_it_pays.asked import Asked
from halluc_plugin.recipes.when_it_pays.scale import Scale
from halluc_plugin.recipes.when_it_pays.specs import Spec
from halluc_plugin.recipes.when_it_pays.writers import write_form
from halluc_plugin.scratch.model import new_model
from halluc_plugin.scratch.tokenizer import editing_tokenizer
from halluc_plugin.tokens.loading import load_model, on_accelerator
from halluc_plugin.training import fine_tune

TRAINED = "trained.json"


@dataclass(frozen=True)
class Bench:
    """One seed of the experiment.

    Attributes:
        out: Folder of the experiment.
        scale: How much of everything.
        seed: Seed of problems, weights, order of the data and samples.
    """

    out: Path
    scale: Scale
    seed: int

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of all models: a form that has no edits does not use its edit tokens."""
        return editing_tokenizer("step")

    def seeded(self, spec: Spec) -> Spec:
        """Return a model's description with this seed's problems."""
        problems: Any = spec.problems  # a dataclass, as all problem sets are
        return replace(spec, problems=replace(problems, seed=self.seed))

    def asked(self, spec: Spec) -> Asked:
        """Return the held-out problems that a model is measured on."""
        drawn = generate(self.seeded(spec).problems, StepSplit.TEST, self.scale.test)
        source = spec.problems.sources[0]
        return Asked(drawn, source, self.tokenizer, spec.max_tokens, self.seed)

    def folder(self, name: str) -> Path:
        """Return the folder of a model of this name."""
        return self.out / f"seed-{self.seed}" / name

    def traces(self, name: str, spec: Spec) -> Path:
        """Return the file of a model's traces, which is written on first use."""
        path = self.folder(name) / "traces.parquet"
        if not path.exists():
            make_folder(path.parent)
            told = self.seeded(spec)
            write_form(path, told, generate(told.problems, StepSplit.TRAIN, self.scale.train), self.tokenizer)
        return path

    def model(self, name: str, spec: Spec) -> Path:
        """Return the folder of a trained model, which is trained on first use."""

        def train(folder: Path) -> None:
            if spec.after is None:
                model = new_model(self.tokenizer, spec.size, seed=self.seed)
            else:
                model = load_model(str(self.model(str(spec.after.form), spec.after)), dtype="float32")
            self._teach(model, name, spec, folder)

        return kept_model(self.folder(name) / "model", train)

    def tuned_on(self, name: str, spec: Spec, start: Path, seconds: float) -> Path:
        """Return the folder of a model after as many seconds more of its own training.

        Args:
            name: Name of the model.
            spec: The start's description.
            start: Folder of the start.
            seconds: The seconds; steps take as long as those of the start did.
        """

        def train(folder: Path) -> None:
            told = json.loads((start / TRAINED).read_text(encoding="utf-8"))
            steps = max(1, round(seconds * told["steps"] / told["seconds"]))
            further = replace(spec, steps=steps, after=None)
            self._teach(load_model(str(start)), name, further, folder)

        return kept_model(self.folder(name) / "model", train)

    def _teach(self, model: Any, name: str, spec: Spec, folder: Path) -> None:
        path, settings = self.traces(name, spec), spec.training(self.scale.batch, self.seed)
        early = _Early(self, spec)
        began = perf_counter()
        fine_tune(on_accelerator(model), self.tokenizer, [path], settings, folder, callbacks=[early])
        seconds = perf_counter() - began - early.seconds
        took = {"seconds": seconds, "steps": float(spec.steps), **self._read(path, spec)}
        if spec.after is not None:
            before = trained(self.model(str(spec.after.form), spec.after))
            took = {key: value + before[key] for key, value in took.items()}
        write_whole(folder / TRAINED, json.dumps({"early": early.accuracy, **took}))

    def _read(self, path: Path, spec: Spec) -> dict[str, float]:
        """What goes through a model in training: tokens, decisions, and what an oracle said of the traces."""
        rows = read_traces(path, self.tokenizer)
        given = spec.steps * self.scale.batch
        newline = set(self.tokenizer.encode("\n", add_special_tokens=False))

        def ends(row: TraceRow) -> int:
            return sum(token in newline for token in row.response_ids)

        lines = sum(map(ends, rows)) / len(rows)
        tokens = sum(len(row.prompt_ids) + len(row.response_ids) for row in rows) / len(rows)
        # Behind each line it is decided whether it stands; a judge told so of every line of such traces.
        return {
            "tokens": given * tokens,
            "decisions": given * lines,
            "labels": lines * len(rows) if spec.form.rejects else 0.0,
        }


class _Early(TrainerCallback):
    """Measures accuracy shortly before the end, to see whether it has settled."""

    def __init__(self, bench: Bench, spec: Spec) -> None:
        self._bench, self._spec = bench, spec
        self.accuracy: float | None = None
        self.seconds = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002 - its interface
        if state.global_step != max(1, int(self._bench.scale.settled * self._spec.steps)):
            return
        began, model = perf_counter(), kwargs["model"]
        training = model.training
        model.eval()
        self.accuracy = accuracy(model, self._spec, self._bench.asked(self._spec))
        model.train(training)
        self.seconds += perf_counter() - began


def settled(folder: Path, final: float) -> bool:
    """Return whether a model's accuracy moved by less than a point in the last part of its training."""
    early = json.loads((folder / TRAINED).read_text(encoding="utf-8"))["early"]
    return early is not None and abs(final - early) < 0.01


def trained(folder: Path) -> dict[str, float]:
    """Return what was counted and timed when a model was trained."""
    found: dict[str, float] = json.loads((folder / TRAINED).read_text(encoding="utf-8"))
    return found
