"""The files of every generated task's data set, the rows of traces and their part of the data card.

A data set is a folder of verl parquet files with problems, ``traces.parquet`` with raw traces in the ids of
one tokenizer, and ``card.json`` with counts, seeds and shares. The same request and tokenizer write the same
bytes.
"""

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.data.prompts import TEMPLATE_KWARGS, prompt_ids
from halluc_plugin.data.resumable import PartedFile
from halluc_plugin.data.trace_files import FINGERPRINT, TraceRow, fingerprint
from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.raw_traces import BacktrackTrace

TRAIN_HELP = "Number of training problems."
TEST_HELP = "Number of problems of each held-out kind."
SEED_HELP = "Seed of all that is drawn at random."
BACKTRACKING_HELP = "Backtracking traces for each clean one (D_back to D_op); 0 for none."

ProblemT = TypeVar("ProblemT")
ProblemT_contra = TypeVar("ProblemT_contra", contravariant=True)

Example = tuple[Mapping[str, Any], ProblemT]
"""A problem's verl row, and the problem."""


class DataSetFiles(ABC):
    """The paths of the files that every data set has."""

    root: Path
    """The folder for ``HALLUC_DATA_DIR``."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """The folder of this data set."""

    def problems(self, split: str) -> Path:
        """Return the path of the problems of a split."""
        return self.folder / f"{split}.parquet"

    @property
    def traces(self) -> Path:
        """The path of the raw traces of the training problems."""
        return self.folder / "traces.parquet"

    @property
    def card(self) -> Path:
        """The path of the data card with counts, seeds and shares."""
        return self.folder / "card.json"


def check_amounts(backtracking: float, **counts: int) -> None:
    """Refuse amounts that a data set cannot have.

    Args:
        backtracking: Number of backtracking traces for each clean one.
        **counts: Numbers of problems to write, by the name of the setting.

    Raises:
        SettingsError: A count is below 1, or the ratio is negative.
    """
    for name, count in counts.items():
        if count < 1:
            raise SettingsError(f"{name} is {count}.", "Give an integer of at least 1.")
    if backtracking < 0:
        raise SettingsError(
            f"The ratio of backtracking to clean traces is {backtracking}.", "Give 0 or more."
        )


class Writer(Protocol[ProblemT_contra]):
    """The interface of a writer of raw traces."""

    def clean(self, problem: ProblemT_contra) -> tuple[int, ...]:
        """Return the token ids of the reference answer, EOS included."""
        ...

    def backtracking(self, problem: ProblemT_contra, rng: np.random.Generator) -> BacktrackTrace | None:
        """Return a trace with at least one error, None if no error is possible."""
        ...


@dataclass(frozen=True)
class TraceFile(Generic[ProblemT]):
    """Writes one file of traces in parts, and counts what is in it.

    Attributes:
        path: The file to write.
        tokenizer: The tokenizer of the ids.
        seed: Seed of the data set.
        kinds: The kinds of error there are.
        request: JSON-able description of everything that decides the traces, except for the tokenizer.
        workers: Number of processes that write; the file is the same whatever their number.
        template_kwargs: Further arguments of the tokenizer's chat template.
    """

    path: Path
    tokenizer: Any
    seed: int
    kinds: Sequence[StrEnum]
    request: Mapping[str, Any]
    workers: int = 1
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def write_pairs(
        self, examples: Iterable[Example[ProblemT]], writer: Writer[ProblemT], backtracking: float
    ) -> dict[str, Any]:
        """Write each example's clean trace, followed by its backtracking traces.

        Args:
            examples: The problems with their rows.
            writer: The writer of their traces.
            backtracking: Number of backtracking traces for each clean one; a fraction is drawn at random.

        Returns:
            The file's part of the data card.
        """
        return self._write(
            examples, _Pairs(self.tokenizer, self.seed, self.template_kwargs, writer, backtracking)
        )

    def write_single(
        self,
        examples: Iterable[Example[ProblemT]],
        write: Callable[[ProblemT, np.random.Generator], BacktrackTrace],
    ) -> dict[str, Any]:
        """Write one trace of each example, with errors or without.

        Args:
            examples: The problems with their rows.
            write: Function that writes the trace of a problem.

        Returns:
            The file's part of the data card.
        """
        return self._write(examples, _Singles(self.tokenizer, self.seed, self.template_kwargs, write))

    def _write(self, examples: Iterable[Example[ProblemT]], make: "_Part[ProblemT]") -> dict[str, Any]:
        metadata = {"seed": self.seed, FINGERPRINT: fingerprint(self.tokenizer)}
        described = {**metadata, "request": self.request, TEMPLATE_KWARGS: self.template_kwargs}
        file: PartedFile[Example[ProblemT]] = PartedFile(self.path, make, described, metadata)
        count, tally = file.write(examples, self.workers)
        errors = {str(kind): tally.get(str(kind), 0) for kind in self.kinds}
        total = sum(errors.values())
        return {
            "count": count,
            **metadata,
            **({TEMPLATE_KWARGS: self.template_kwargs} if self.template_kwargs else {}),
            **{what: tally.get(what, 0) for what in ("clean", "backtracking", "no_error_possible")},
            "errors": errors,
            "error_shares": {k: round(n / total, 4) if total else 0.0 for k, n in errors.items()},
        }


@dataclass(frozen=True)
class _Part(ABC, Generic[ProblemT]):
    """Makes the rows of a part of a file; picklable, for the processes that do."""

    tokenizer: Any
    seed: int
    template_kwargs: Mapping[str, Any]

    def __call__(
        self, number: int, examples: Sequence[Example[ProblemT]]
    ) -> tuple[list[dict[str, Any]], Counter[str]]:
        rng, tally, rows = np.random.default_rng([self.seed, 3, number]), Counter[str](), []
        for row, problem in examples:
            asked = {**row, "prompt_ids": prompt_ids(self.tokenizer, row["prompt"], self.template_kwargs)}
            for trace in self.traces(problem, rng):
                if trace is None:
                    tally["no_error_possible"] += 1
                else:
                    tally["backtracking" if trace.kinds else "clean"] += 1
                    tally.update(map(str, trace.kinds))
                    erased = None if trace.erased is None else list(trace.erased)
                    rows.append(asked | TraceRow(asked["prompt_ids"], list(trace.ids), erased).columns())
        if any("erased" in row for row in rows):  # a clean trace has none of its own
            rows = [{**row, "erased": row.get("erased", [False] * len(row["response_ids"]))} for row in rows]
        return rows, tally

    @abstractmethod
    def traces(self, problem: ProblemT, rng: np.random.Generator) -> Iterator[BacktrackTrace | None]:
        """The traces of a problem; None for one in which no error is possible."""


@dataclass(frozen=True)
class _Pairs(_Part[ProblemT]):
    writer: Writer[ProblemT]
    backtracking: float

    def traces(self, problem: ProblemT, rng: np.random.Generator) -> Iterator[BacktrackTrace | None]:
        yield BacktrackTrace(self.writer.clean(problem), ())
        whole, rest = divmod(self.backtracking, 1)
        for _ in range(int(whole) + (rng.random() < rest)):
            yield self.writer.backtracking(problem, rng)


@dataclass(frozen=True)
class _Singles(_Part[ProblemT]):
    write: Callable[[ProblemT, np.random.Generator], BacktrackTrace]

    def traces(self, problem: ProblemT, rng: np.random.Generator) -> Iterator[BacktrackTrace | None]:
        yield self.write(problem, rng)


def edit_vocab_or_none(tokenizer: Any, *, edits: bool) -> Any:
    """Return the tokenizer's edit vocabulary, or one that no text uses if no trace has edits.

    Raises:
        TokenizerError: Edits are asked for and the tokenizer has no edit tokens.
    """
    from halluc_plugin.tokens.vocabulary import edit_free_vocab, edit_vocab

    return edit_vocab(tokenizer) if edits else edit_free_vocab(tokenizer)


def plain(request: Any) -> dict[str, Any]:
    """Return a dataclass as a JSON-able mapping."""
    as_json: dict[str, Any] = json.loads(json.dumps(asdict(request)))
    return as_json


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write the data card as JSON."""
    write_whole(path, json.dumps(card, indent=1) + "\n")
