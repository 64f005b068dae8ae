"""What the data sets of all generated tasks share: rows of traces, their part of the data card.

A data set is a folder of verl parquet files with problems, ``traces.parquet`` with raw traces in the ids of
one tokenizer, and ``card.json`` with counts, seeds and shares. The same request and tokenizer write the same
bytes.
"""

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.data.raw_traces import BacktrackTrace
from halluc_plugin.data.trace_files import FINGERPRINT, fingerprint, prompt_ids
from halluc_plugin.errors import SettingsError

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""``progress(items, what, total)`` passes items on and shows how far they are."""

ProblemT = TypeVar("ProblemT")
ProblemT_contra = TypeVar("ProblemT_contra", contravariant=True)

Example = tuple[Mapping[str, Any], ProblemT]
"""A problem's verl row, and the problem."""


class DataSetFiles(ABC):
    """Where the files are that every data set has."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """The data set's own folder."""

    @property
    def traces(self) -> Path:
        """Raw traces of the training problems."""
        return self.folder / "traces.parquet"

    @property
    def card(self) -> Path:
        """Counts, seeds and shares."""
        return self.folder / "card.json"


def check_amounts(backtracking: float, **counts: int) -> None:
    """Refuse what cannot be asked of a data set.

    Args:
        backtracking: Backtracking traces for each clean one.
        **counts: How much is to be written, by the name of the setting.

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
    """Writes raw traces of problems."""

    def clean(self, problem: ProblemT_contra) -> tuple[int, ...]:
        """The reference answer, EOS included."""
        ...

    def backtracking(self, problem: ProblemT_contra, rng: np.random.Generator) -> BacktrackTrace | None:
        """A trace with at least one error; None where none is possible."""
        ...


class TraceFile(Generic[ProblemT]):
    """Writes one file of traces, and counts what is in it.

    Args:
        path: The file.
        tokenizer: Whose ids the traces are in.
        seed: Seed of the data set.
        kinds: The kinds of error there are.
    """

    def __init__(self, path: Path, tokenizer: Any, seed: int, kinds: Sequence[StrEnum]) -> None:
        self._path, self._tokenizer, self._kinds = path, tokenizer, kinds
        self._metadata = {"seed": seed, FINGERPRINT: fingerprint(tokenizer)}
        self._rng = np.random.default_rng([seed, 3])
        self._tally: Counter[str] = Counter()

    def write_pairs(
        self, examples: Iterable[Example[ProblemT]], writer: Writer[ProblemT], backtracking: float
    ) -> dict[str, Any]:
        """Each example's clean trace, followed by its backtracking traces.

        Args:
            examples: What to write traces of.
            writer: Writes them.
            backtracking: Backtracking traces for each clean one; a fraction is drawn.

        Returns:
            The file's part of the data card.
        """
        return self._write(self._pairs(examples, writer, backtracking))

    def write_single(
        self,
        examples: Iterable[Example[ProblemT]],
        write: Callable[[ProblemT, np.random.Generator], BacktrackTrace],
    ) -> dict[str, Any]:
        """One trace of each example, with errors or without.

        Args:
            examples: What to write traces of.
            write: Writes one.

        Returns:
            The file's part of the data card.
        """
        return self._write(self._singles(examples, write))

    def _pairs(
        self, examples: Iterable[Example[ProblemT]], writer: Writer[ProblemT], backtracking: float
    ) -> Iterator[dict[str, Any]]:
        whole, rest = divmod(backtracking, 1)
        for row, problem in examples:
            asked = self._asked(row)
            self._tally["clean"] += 1
            yield asked | {"response_ids": list(writer.clean(problem))}
            for _ in range(int(whole) + (self._rng.random() < rest)):
                trace = writer.backtracking(problem, self._rng)
                if trace is None:
                    self._tally["no_error_possible"] += 1
                else:
                    yield asked | self._counted(trace)

    def _singles(
        self,
        examples: Iterable[Example[ProblemT]],
        write: Callable[[ProblemT, np.random.Generator], BacktrackTrace],
    ) -> Iterator[dict[str, Any]]:
        for row, problem in examples:
            yield self._asked(row) | self._counted(write(problem, self._rng))

    def _asked(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {**row, "prompt_ids": prompt_ids(self._tokenizer, row["prompt"])}

    def _counted(self, trace: BacktrackTrace) -> dict[str, Any]:
        self._tally["backtracking" if trace.kinds else "clean"] += 1
        self._tally.update(map(str, trace.kinds))
        return {"response_ids": list(trace.ids)}

    def _write(self, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
        count = write_parquet(self._path, rows, self._metadata)
        tally, errors = self._tally, sum(self._tally[kind] for kind in self._kinds)
        return {
            "count": count,
            **self._metadata,
            "clean": tally["clean"],
            "backtracking": tally["backtracking"],
            "no_error_possible": tally["no_error_possible"],
            "errors": {str(kind): tally[kind] for kind in self._kinds},
            "error_shares": {
                str(kind): round(tally[kind] / errors, 4) if errors else 0.0 for kind in self._kinds
            },
        }


def edit_vocab_or_none(tokenizer: Any, *, edits: bool) -> Any:
    """The tokenizer's edit tokens; where no trace has edits, a vocabulary that no text uses.

    Raises:
        TokenizerError: Edits are wanted and the tokenizer has no edit tokens.
    """
    from halluc_plugin.edits import EditVocab
    from halluc_plugin.tokens import edit_vocab

    return edit_vocab(tokenizer) if edits else EditVocab(backtrack=len(tokenizer))


def plain(request: Any) -> dict[str, Any]:
    """A dataclass as JSON has it."""
    as_json: dict[str, Any] = json.loads(json.dumps(asdict(request)))
    return as_json


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write the data card."""
    path.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
