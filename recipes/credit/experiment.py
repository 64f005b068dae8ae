"""Run one seed: train and measure the supervised starts, and every arm from them."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from halluc_plugin.metrics import ProblemSamples, compute_matched_gain, maj_at_k, pass_at_k
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.credit.arms import ARMS, Arm, Start
from halluc_plugin.recipes.credit.courses import course_of
from halluc_plugin.recipes.credit.scale import Scale
from halluc_plugin.recipes.credit.tasks import Task, problem_files, start_model
from halluc_plugin.recipes.lab.forgetting import FOLDER, kept_forgetting
from halluc_plugin.recipes.lab.keeping import COMPLETE, kept_cell, kept_model
from halluc_plugin.recipes.self_backtracking.answering import decoded_cells, load, sampled
from halluc_plugin.recipes.self_backtracking.bench import Bench
from halluc_plugin.rl.grpo import METRICS, train_policy
from halluc_plugin.run_metrics import logged_records
from halluc_plugin.tokens.loading import load_model, on_accelerator

CURVE = ("acc", "event_precision", "event_recall", "per_answer", "raw_length", "degenerate/groups")
KS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Experiment:
    """One seed of all arms.

    Attributes:
        out: Folder of the experiment.
        scale: The scale of the experiment.
        seed: Seed of problems, weights, data order and samples.
        task: The task whose problems are answered.
    """

    out: Path
    scale: Scale
    seed: int
    task: Task = Task.COUNTDOWN

    @cached_property
    def bench(self) -> Bench:
        """The bench with the problems and supervised models."""
        return Bench(self.out, self.scale.models, self.seed)

    def cells(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the measurements of these arms and their starts, with their baseline if that is trained."""
        for start in sorted({ARMS[name].start for name in names}):
            yield self._cell(f"start, {start}", self._start(start), start)
        for name in names:
            yield self._cell(name, self._trained(name, ARMS[name]), ARMS[name].start)

    def forgotten(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield what these arms forgot of their starts."""
        for name in names:
            path = self.out / FOLDER / f"{self._plain(name)}-{self.seed}.json"
            problems = self.bench.asked(problem_files(self.bench, self.task)[1], self.scale.sampled)
            yield kept_forgetting(
                path, {"arm": name, "seed": self.seed}, base=self._start(ARMS[name].start),
                model=self._trained(name, ARMS[name]), tokenizer=self.bench.tokenizer,
                space=self.bench.space(temperature=1.0), problems=problems, seed=self.seed,
            )  # fmt: skip

    def _start(self, start: Start) -> Path:
        return start_model(self.bench, self.task, start)

    def _trained(self, name: str, arm: Arm) -> Path:
        def train(folder: Path) -> None:
            model = on_accelerator(load_model(str(self._start(arm.start)), dtype="float32"))
            problems = self.bench.asked(problem_files(self.bench, self.task)[0])
            run = replace(self.scale.run, seed=self.seed)
            train_policy(
                model, self.bench.tokenizer, problems, arm.settings, run, out=folder, progress=show_progress,
                course=course_of(self.bench, self.task, arm, self._start(arm.start)),
            )  # fmt: skip

        return kept_model(self._folder(name), train)

    def _cell(self, name: str, folder: Path, start: Start) -> dict[str, Any]:
        path = self.out / "cells" / f"{self._plain(name)}-{self.seed}.json"
        cell = kept_cell(path, partial(self._measure, name, folder, start)) | {"moved": _moved(folder)}
        baseline = self._folder(start.baseline)
        if name != start.baseline and (baseline / COMPLETE).exists():
            ours = self._samples(folder, start)
            gain = compute_matched_gain(ours, self._samples(baseline, ARMS[start.baseline].start))
            cell["matched"] = {"k": gain.k, "tokens": gain.mean_tokens, **vars(gain.gain)}
        return cell

    def _folder(self, name: str) -> Path:
        return self.bench.folder / "models" / f"rl-{self._plain(name)}"

    def _plain(self, name: str) -> str:
        """A name for files; Countdown's are without the task's."""
        whole = name if self.task is Task.COUNTDOWN else f"{self.task}, {name}"
        return whole.replace(", ", "-").replace(" ", "-")

    def _measure(self, name: str, folder: Path, start: Start) -> dict[str, Any]:
        model, (_, *tests) = load(folder), problem_files(self.bench, self.task)
        cell: dict[str, Any] = {"arm": name, "seed": self.seed, "curve": _curve(folder)}
        for split, path in zip(("seen", "new"), tests, strict=True):
            cells = decoded_cells(self.bench, model, self.bench.asked(path), start.context)
            # What has never seen the token used must not be judged by what it does with it.
            cell[split] = cells | (
                {key: cells[f"{key}, banned"] for key in ("T=0", "T=1")} if start.clean else {}
            )
        samples = self._samples(folder, start)
        ks = [k for k in KS if k <= self.scale.most_k]
        cell["pass"] = {str(k): vars(pass_at_k(samples, k)) for k in ks}
        cell["maj"] = {str(k): vars(maj_at_k(samples, k)) for k in ks}
        return cell

    def _samples(self, folder: Path, start: Start) -> list[ProblemSamples]:
        """Many answers to some of the problems that are like those of training, at temperature 1."""
        path = folder / "samples.json"

        def draw() -> dict[str, Any]:
            problems = self.bench.asked(problem_files(self.bench, self.task)[1], self.scale.sampled)
            drawn = sampled(
                self.bench, load(folder), problems,
                temperature=1.0, copies=self.scale.copies, edits_banned=start.clean,
                context=start.context,
            )  # fmt: skip
            return {"samples": [[s.answers, s.correct, s.tokens] for s in drawn]}

        return [ProblemSamples(*row) for row in kept_cell(path, draw)["samples"]]


def _curve(folder: Path) -> list[dict[str, float]]:
    """What a run logged of its steps; nothing for a supervised model."""
    return [
        {"step": line["step"]}
        | {key: line[f"backtrack/{key}"] for key in CURVE if f"backtrack/{key}" in line}
        for line in _logged(folder)
    ]


def _moved(folder: Path) -> dict[str, float]:
    """Share of groups whose advantages each paid part changes, mean over steps; ``groups``: that learn."""
    prefix, shares = "backtrack/degenerate/", defaultdict[str, list[float]](list)
    for line in _logged(folder):
        for key, share in line.items():
            if key.startswith(prefix):
                shares[key.removeprefix(prefix)].append(1 - share)
    return {name: statistics.fmean(found) for name, found in shares.items()}


def _logged(folder: Path) -> list[dict[str, float]]:
    path = folder / METRICS
    if not path.exists():
        return []
    return list(logged_records(path))
