"""Write a Countdown data set: problems for verl and lm-eval, raw traces for fine-tuning, and a data card.

    <folder>/countdown/train.parquet       problems to train on
    <folder>/countdown/test_seen.parquet   held-out problems whose targets occur in training
    <folder>/countdown/test_new.parquet    problems whose targets never occur in training
    <folder>/countdown/traces.parquet      raw traces of the training problems (when a tokenizer is given)
    <folder>/countdown/card.json           counts, seeds, shares

Problems of four to six numbers are in ``countdown4`` to ``countdown6``. lm-eval finds the files by
``HALLUC_DATA_DIR=<folder>``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.data.resumable import Progress
from halluc_plugin.problem_sets.data_set import DataSet
from halluc_plugin.problem_sets.files import (
    BACKTRACKING_HELP,
    TEST_HELP,
    TRAIN_HELP,
    DataSetFiles,
    Example,
    TraceFile,
    check_amounts,
    edit_vocab_or_none,
    plain,
    write_card,
)
from halluc_plugin.problem_sets.options import option
from halluc_plugin.problem_sets.raw_traces import Edit
from halluc_plugin.tasks.countdown.errors import ErrorKind
from halluc_plugin.tasks.countdown.problems import CountdownSettings, Problem, Split, draw_variants, generate
from halluc_plugin.tasks.countdown.solver import reachable
from halluc_plugin.tasks.countdown.streams.files import (
    AnswerFormat,
    StreamPart,
    StreamSettings,
    write_streams,
)
from halluc_plugin.tasks.countdown.traces import TraceSettings, TraceWriter
from halluc_plugin.tasks.countdown.verifier import SOURCE, SOURCE_OF_NEW_TARGETS

FOLDER = "countdown"


def folder_name(numbers: int) -> str:
    """Return the name of a data set's folder: ``countdown``, or ``countdown4`` with four numbers."""
    return FOLDER if numbers == 3 else f"{FOLDER}{numbers}"


@dataclass(frozen=True)
class CountdownFiles(DataSetFiles):
    """The paths of the files of one data set.

    Attributes:
        root: The folder for ``HALLUC_DATA_DIR``.
        numbers: Number of numbers in a problem.
    """

    root: Path
    numbers: int = 3

    @property
    def folder(self) -> Path:
        """The folder of this data set."""
        return self.root / folder_name(self.numbers)

    @property
    def train(self) -> Path:
        """The path of the training problems."""
        return self.folder / f"{Split.TRAIN}.parquet"

    @property
    def test(self) -> tuple[Path, Path]:
        """The paths of the problems with seen and with new targets."""
        return self.folder / f"{Split.TEST_SEEN}.parquet", self.folder / f"{Split.TEST_NEW}.parquet"


@dataclass(frozen=True)
class CountdownRequest(DataSet):
    """The settings of a Countdown data set.

    Args:
        problems: The kind of problems.
        train: Number of training problems.
        test: Number of problems of each held-out kind.
        backtracking: Number of backtracking traces for each clean one, D_back to D_op. 0 writes clean traces
            only.
        variants: Largest number of ways in which a training problem is drawn (order of its numbers, solution)
            that get traces of their own.
        traces: The form of the backtracking traces.
        streams: Whether answers are equations, or streams of search, of which each training problem drawn has
            one, without edits.

    Raises:
        SettingsError: A count is below 1, or the ratio is negative.
    """

    problems: CountdownSettings = field(default_factory=CountdownSettings)
    train: int = option(20_000, TRAIN_HELP)
    test: int = option(500, TEST_HELP)
    backtracking: float = option(1.0, BACKTRACKING_HELP)
    variants: int = option(4, "Most ways in which a training problem is drawn that get traces.")
    traces: TraceSettings = field(default_factory=TraceSettings)
    streams: StreamSettings = field(default_factory=StreamSettings)

    def __post_init__(self) -> None:
        check_amounts(self.backtracking, train=self.train, test=self.test, variants=self.variants)

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits of its problems, that of training first."""
        return tuple(Split)

    @property
    def edit(self) -> Edit | None:
        """The edit that deletes errors in its traces; None for no errors."""
        edits = self.backtracking and self.streams.format is AnswerFormat.EQUATIONS
        return self.traces.edit if edits else None

    @property
    def described(self) -> dict[str, Any]:
        """The settings as JSON; those of streams are left out where there are none."""
        found = plain(self)
        if self.streams.format is AnswerFormat.EQUATIONS:
            del found["streams"]
        return found

    def draw(self, split: str, count: int) -> Sequence[Problem]:
        """Draw distinct problems of one split."""
        return generate(self.problems, Split(split), count)

    def write(
        self,
        folder: Path,
        tokenizer: Any | None,
        progress: Progress,
        *,
        workers: int = 1,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> CountdownFiles:
        """Write the data set; see :func:`write_countdown`."""
        return write_countdown(
            folder, self, tokenizer, progress, workers=workers, template_kwargs=template_kwargs
        )


def write_countdown(
    folder: Path,
    request: CountdownRequest,
    tokenizer: Any | None,
    progress: Progress,
    *,
    workers: int = 1,
    template_kwargs: Mapping[str, Any] | None = None,
) -> CountdownFiles:
    """Write a data set; the same request and tokenizer write the same bytes.

    Args:
        folder: The folder to write to; files of the same names are replaced.
        request: The settings of the data set.
        tokenizer: The tokenizer of the traces; None writes no traces.
        progress: Shows the progress.
        workers: Number of processes that write traces.
        template_kwargs: Further arguments of the tokenizer's chat template.

    Returns:
        The paths of the files.

    Raises:
        SettingsError: There are not as many distinct problems.
        TokenizerError: Backtracking traces are asked for and the tokenizer has no edit tokens.
    """
    files = CountdownFiles(folder, request.problems.numbers)
    seed = request.problems.seed
    counts = {Split.TRAIN: request.train, Split.TEST_SEEN: request.test, Split.TEST_NEW: request.test}
    card: dict[str, Any] = {"source": SOURCE, "seed": seed, "request": request.described, "problems": {}}
    drawn = {
        split: draw_variants(request.problems, split, count, request.variants)
        for split, count in counts.items()
    }
    for split, variants in drawn.items():
        problems = [first for first, *_ in variants]
        rows = (problem_row(problem, split, index) for index, problem in enumerate(problems))
        path = files.folder / f"{split}.parquet"
        write_parquet(path, progress(rows, f"{split} problems", len(problems)), {"seed": seed})
        solvable = sum(reachable(*problem.key) for problem in problems)
        card["problems"][str(split)] = {"count": len(problems), "solvable": solvable}
    if tokenizer is not None:
        variants = drawn[Split.TRAIN]
        shown = progress(variants, "problems with traces", len(variants))
        if request.streams.format is not AnswerFormat.EQUATIONS:
            largest = request.problems.largest_target
            make = StreamPart(tokenizer, seed, request.streams, largest, template_kwargs or {})
            card["traces"] = write_streams(files.traces, _examples(shown), make, request.described, workers)
            write_card(files.card, card)
            return files
        file: TraceFile[Problem] = TraceFile(
            files.traces, tokenizer, seed, list(ErrorKind), request.described, workers, template_kwargs or {}
        )
        card["traces"] = _write_traces(file, shown, request)
    write_card(files.card, card)
    return files


def problem_row(problem: Problem, split: Split, index: int) -> dict[str, Any]:
    """Return a problem as a row for verl, without ``agent_name``, which would override the recipe's."""
    return {
        "data_source": SOURCE_OF_NEW_TARGETS if split is Split.TEST_NEW else SOURCE,
        "prompt": [{"role": "user", "content": problem.prompt}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": problem.truth},
        "extra_info": {"split": str(split), "index": index, "answer": problem.answer},
    }


def _write_traces(
    file: TraceFile[Problem], groups: Iterable[tuple[Problem, ...]], request: CountdownRequest
) -> dict[str, Any]:
    """Write clean and backtracking traces; returns their part of the card."""
    vocab = edit_vocab_or_none(file.tokenizer, edits=request.backtracking > 0)
    settings = request.traces if request.backtracking else TraceSettings()
    writer = TraceWriter(file.tokenizer, vocab, request.problems, settings)
    return file.write_pairs(_examples(groups), writer, request.backtracking)


def _examples(groups: Iterable[tuple[Problem, ...]]) -> Iterator[Example[Problem]]:
    """Each problem with its row, once for each way in which it was drawn."""
    for index, group in enumerate(groups):
        for problem in group:
            yield problem_row(problem, Split.TRAIN, index), problem
