"""Write the files of a data set of problems with answers in steps.

    <folder>/<name>/train.parquet       problems to train on
    <folder>/<name>/test.parquet        held-out problems of the same sizes
    <folder>/<name>/test_long.parquet   larger problems; or test_new.parquet, on topics that are new
    <folder>/<name>/traces.parquet      raw traces of the training problems (when a tokenizer is given)
    <folder>/<name>/card.json           counts, seeds, shares

lm-eval finds the files by ``HALLUC_DATA_DIR=<folder>``.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.data.resumable import Progress
from halluc_plugin.problem_sets.data_set import DataSet
from halluc_plugin.problem_sets.files import (
    BACKTRACKING_HELP,
    TEST_HELP,
    TRAIN_HELP,
    DataSetFiles,
    TraceFile,
    Writer,
    check_amounts,
    edit_vocab_or_none,
    plain,
    write_card,
)
from halluc_plugin.problem_sets.options import Option, option
from halluc_plugin.problem_sets.raw_traces import BacktrackTrace, Edit
from halluc_plugin.problem_sets.step_traces import Pairing, StepTraceSettings, StepTraceWriter
from halluc_plugin.problem_sets.steps import Problem, ProblemSet, StepSplit, generate, step_row


@dataclass(frozen=True)
class StepFiles(DataSetFiles):
    """The paths of the files of one data set.

    Attributes:
        root: The folder for ``HALLUC_DATA_DIR``.
        name: Name of the task.
    """

    root: Path
    name: str

    @property
    def folder(self) -> Path:
        """The folder of this data set."""
        return self.root / self.name


@dataclass(frozen=True)
class Amounts:
    """How many problems to write, and how many traces.

    Args:
        train: Number of training problems.
        test: Number of problems of each held-out kind.
        backtracking: For paired traces, the number of backtracking traces for each clean one. 0 writes only
            clean traces, paired or not.

    Raises:
        SettingsError: A count is below 1, or the ratio is negative.
    """

    train: int = option(20_000, TRAIN_HELP)
    test: int = option(500, TEST_HELP)
    backtracking: float = option(1.0, BACKTRACKING_HELP)

    def __post_init__(self) -> None:
        check_amounts(self.backtracking, train=self.train, test=self.test)


@dataclass(frozen=True)
class StepRequest(Amounts):
    """How many problems to write, and the form of the traces in which errors are taken back.

    Args:
        traces: The form of the traces.
    """

    traces: StepTraceSettings = field(default_factory=StepTraceSettings)


def write_steps(
    folder: Path,
    task: ProblemSet,
    request: StepRequest,
    tokenizer: Any | None,
    progress: Progress,
    *,
    workers: int = 1,
    template_kwargs: Mapping[str, Any] | None = None,
) -> StepFiles:
    """Write a data set; the same task, request and tokenizer write the same bytes.

    Args:
        folder: The folder to write to; files of the same names are replaced.
        task: The kind of problems.
        request: How many problems to write, and the form of the traces.
        tokenizer: The tokenizer of the traces; None writes no traces.
        progress: Shows the progress.
        workers: Number of processes that write traces.
        template_kwargs: Further arguments of the tokenizer's chat template.

    Returns:
        The paths of the files.

    Raises:
        SettingsError: There are not as many distinct problems, or the task has no such traces.
        TokenizerError: Backtracking traces are asked for and the tokenizer has no edit tokens.
    """
    # First, since it refuses what cannot be written before anything is.
    writer = None if tokenizer is None else _writer(task, request, tokenizer)
    return write_problems(
        folder, task, request, writer, tokenizer=tokenizer, progress=progress,
        kinds=task.kinds, pairing=request.traces.pairing, workers=workers, template_kwargs=template_kwargs,
    )  # fmt: skip


class AnyWriter(Writer[Problem], Protocol):
    """The interface of a writer of paired traces and of single ones."""

    def single(self, problem: Problem, rng: np.random.Generator) -> BacktrackTrace:
        """Return a trace with a random number of errors, possibly none."""
        ...


def write_problems(
    folder: Path,
    task: ProblemSet,
    request: Amounts,
    writer: AnyWriter | None,
    *,
    tokenizer: Any,
    progress: Progress,
    kinds: Sequence[StrEnum],
    pairing: Pairing,
    workers: int = 1,
    template_kwargs: Mapping[str, Any] | None = None,
) -> StepFiles:
    """Write a data set, with traces by any writer.

    Args:
        folder: The folder to write to; files of the same names are replaced.
        task: The kind of problems.
        request: How many problems to write.
        writer: The writer of the traces; None for no traces.
        tokenizer: The tokenizer of the writer's ids.
        progress: Shows the progress.
        kinds: The kinds of error in the traces.
        pairing: How many traces a problem has.
        workers: Number of processes that write traces.
        template_kwargs: Further arguments of the tokenizer's chat template.

    Returns:
        The paths of the files.

    Raises:
        SettingsError: There are not as many distinct problems.
    """
    files = StepFiles(folder, task.name)
    counts = {split: request.train if split is StepSplit.TRAIN else request.test for split in task.splits}
    drawn = {split: generate(task, split, count) for split, count in counts.items()}
    if not any(problem.steps for problem in drawn[StepSplit.TRAIN]):
        writer = None  # what nobody can write down has no traces
    card: dict[str, Any] = {
        "source": task.sources[0], "seed": task.seed, "task": plain(task), "request": plain(request),
        "problems": {},
    }  # fmt: skip
    for split, problems in drawn.items():
        rows = (step_row(problem, task, split, index) for index, problem in enumerate(problems))
        shown = progress(rows, f"{split} problems", len(problems))
        write_parquet(files.problems(split), shown, {"seed": task.seed})
        steps = Counter(len(problem.steps) for problem in problems)
        # Solvable all: the reference answers are worked out, not drawn.
        card["problems"][str(split)] = {
            "count": len(problems),
            "solvable": len(problems),
            "steps": {str(count): steps[count] for count in sorted(steps)},
        }
    if writer is not None:
        shown = progress(drawn[StepSplit.TRAIN], "problems with traces", request.train)
        examples = ((step_row(p, task, StepSplit.TRAIN, index), p) for index, p in enumerate(shown))
        file: TraceFile[Problem] = TraceFile(
            files.traces,
            tokenizer,
            task.seed,
            kinds,
            {**card, "problems": None},
            workers,
            template_kwargs or {},
        )
        if request.backtracking and pairing is Pairing.SINGLE:
            card["traces"] = file.write_single(examples, writer.single)
        else:
            card["traces"] = file.write_pairs(examples, writer, request.backtracking)
    write_card(files.card, card)
    return files


def _writer(task: ProblemSet, request: StepRequest, tokenizer: Any) -> StepTraceWriter:
    edits = request.backtracking > 0
    vocab = edit_vocab_or_none(tokenizer, edits=edits)
    return StepTraceWriter(tokenizer, vocab, task, request.traces if edits else StepTraceSettings())


class DrawnData(DataSet):
    """A data set whose problems are drawn by a kind of problems, the field ``problems``."""

    problems: ProblemSet

    @property
    def splits(self) -> tuple[StepSplit, ...]:
        """The splits of its problems, that of training first."""
        return self.problems.splits

    def draw(self, split: str, count: int) -> Sequence[Problem]:
        """Draw distinct problems of one split."""
        return generate(self.problems, StepSplit(split), count)


@dataclass(frozen=True)
class StepData(DrawnData):
    """A data set of problems with answers in steps.

    Args:
        problems: The kind of problems.
        request: How many problems to write, and the form of the traces. If the mix names no kind of error,
            all kinds are equally likely; problems without errors have clean traces.
    """

    problems: ProblemSet
    request: StepRequest = field(default_factory=lambda: StepRequest(train=12_000))

    def __post_init__(self) -> None:
        kinds, traces = self.problems.kinds, self.request.traces
        if not kinds:
            object.__setattr__(self, "request", replace(self.request, backtracking=0.0))
        elif not traces.mix:
            alike = replace(traces, mix={str(kind): 1.0 for kind in kinds})
            object.__setattr__(self, "request", replace(self.request, traces=alike))

    @property
    def edit(self) -> Edit | None:
        """The edit that deletes errors in its traces; None for no errors."""
        return self.request.traces.edit if self.request.backtracking else None

    def write(
        self,
        folder: Path,
        tokenizer: Any | None,
        progress: Progress,
        *,
        workers: int = 1,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> StepFiles:
        """Write the data set; see :func:`write_steps`."""
        return write_steps(
            folder, self.problems, self.request, tokenizer, progress,
            workers=workers, template_kwargs=template_kwargs,
        )  # fmt: skip

    def options(self) -> list[Option]:
        """Return the options of the data set's command, without those on errors if it has no errors."""
        found = super().options()
        if self.problems.kinds:
            return found
        return [each for each in found if each.name != "backtracking" and "traces" not in each.path]
