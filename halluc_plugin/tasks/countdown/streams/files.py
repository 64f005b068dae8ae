"""Write streams of search for training: one of each problem, by a random strategy, or its optimal path."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from halluc_plugin.data.prompts import TEMPLATE_KWARGS, prompt_ids
from halluc_plugin.data.resumable import PartedFile
from halluc_plugin.data.trace_files import FINGERPRINT, TraceRow, fingerprint
from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.options import option
from halluc_plugin.tasks.countdown.problems import Problem
from halluc_plugin.tasks.countdown.streams.lines import GaveUp, Line
from halluc_plugin.tasks.countdown.streams.strategies import draw_strategy, optimal, search

OPTIMAL = "optimal"


class AnswerFormat(StrEnum):
    """The form of answers in traces."""

    EQUATIONS = "equations"
    """The equations of a right answer, and errors that edits take back."""
    STREAM = "stream"
    """A search by a random strategy, dead ends included, whether it reaches the target or not."""
    OPTIMAL = OPTIMAL
    """The stream that writes the drawn solution alone."""


@dataclass(frozen=True)
class StreamSettings:
    """The form of answers, and the length of streams.

    Args:
        format: The form of answers in traces.
        longest: Largest number of tokens of a stream, EOS included. A longer one is cut behind its last whole
            line, without EOS, as the paper's are at the end of the context.

    Raises:
        SettingsError: The length is below 16.
    """

    format: AnswerFormat = option(
        AnswerFormat.EQUATIONS, "Answers: equations with edits, or a stream of search, or its optimal path."
    )
    longest: int = option(512, "Most tokens of a stream; a longer one is cut.")

    def __post_init__(self) -> None:
        if self.longest < 16:
            raise SettingsError(f"Streams of {self.longest} tokens.", "Give 16 at least.")


@dataclass(frozen=True)
class StreamPart:
    """Makes the rows of a part of a file; picklable, for the processes that do.

    Attributes:
        tokenizer: The tokenizer of the ids.
        seed: Seed of the data set.
        settings: The form of answers.
        largest: Largest result of an equation.
        template_kwargs: Further arguments of the tokenizer's chat template.
    """

    tokenizer: Any
    seed: int
    settings: StreamSettings
    largest: int
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __call__(
        self, number: int, examples: Sequence[tuple[Mapping[str, Any], Problem]]
    ) -> tuple[list[dict[str, Any]], Counter[str]]:
        """Return the rows of a part, and counts of what is in them."""
        rng, tally, rows = np.random.default_rng([self.seed, 6, number]), Counter[str](), []
        for row, problem in examples:
            name, lines = self._stream(problem, rng)
            ids = self._ids(lines)
            end = (
                "cut" if ids[-1] != self.tokenizer.eos_token_id else "failed" if _failed(lines) else "reached"
            )
            tally.update([name, end])
            tally["tokens"] += len(ids)
            asked = prompt_ids(self.tokenizer, row["prompt"], self.template_kwargs)
            rows.append({**row, "strategy": name, **TraceRow(list(asked), ids).columns()})
        return rows, tally

    def _stream(self, problem: Problem, rng: np.random.Generator) -> tuple[str, list[Line]]:
        if self.settings.format is AnswerFormat.OPTIMAL:
            return OPTIMAL, optimal(problem.numbers, problem.target, problem.solution)
        strategy = draw_strategy(rng)
        return strategy.name, search(strategy, problem.numbers, problem.target, largest=self.largest, rng=rng)

    def _ids(self, lines: Sequence[Line]) -> list[int]:
        ids: list[int] = []
        for line in lines:
            more = self.tokenizer.encode(f"{line.text}\n", add_special_tokens=False)
            if len(ids) + len(more) >= self.settings.longest:
                return ids
            ids += more
        return [*ids, int(self.tokenizer.eos_token_id)]


def write_streams(
    path: Path,
    examples: Iterable[tuple[Mapping[str, Any], Problem]],
    make: StreamPart,
    described: Mapping[str, Any],
    workers: int = 1,
) -> dict[str, Any]:
    """Write a file of streams.

    Args:
        path: The file to write.
        examples: The problems with their rows.
        make: Makes the rows.
        described: JSON-able description of everything that decides the streams, except for the tokenizer.
        workers: Number of processes that write; the file is the same whatever their number.

    Returns:
        The file's part of the data card: how many streams there are of each strategy, how many reach the
        target, fail or are cut, and their mean number of tokens.
    """
    metadata = {"seed": make.seed, FINGERPRINT: fingerprint(make.tokenizer)}
    template = {TEMPLATE_KWARGS: dict(make.template_kwargs)}
    file: PartedFile[tuple[Mapping[str, Any], Problem]] = PartedFile(
        path, make, {**metadata, "request": described, **template}, metadata
    )
    count, tally = file.write(examples, workers)
    ends = {end: tally.pop(end, 0) for end in ("reached", "failed", "cut")}
    tokens = tally.pop("tokens")
    return {
        "count": count,
        **metadata,
        **(template if make.template_kwargs else {}),
        **ends,
        "mean_tokens": round(tokens / count, 1),
        "strategies": dict(sorted(tally.items())),
    }


def _failed(lines: Sequence[Line]) -> bool:
    return isinstance(lines[-1], GaveUp)
