"""Make pairs of traces with edits: each against a twin whose edit is at a wrong place, or missing."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from halluc_plugin.data.pair_files import PairRow, fault
from halluc_plugin.data.parquet import read_rows
from halluc_plugin.data.resumable import Row
from halluc_plugin.data.rows import ground_truth
from halluc_plugin.data.trace_files import TraceRow, read_traces
from halluc_plugin.edits import EditVocab, collapse
from halluc_plugin.errors import DataError
from halluc_plugin.sampling.problems import PosedProblem, text_of
from halluc_plugin.sampling.states import Response
from halluc_plugin.tasks import find_task
from halluc_plugin.traces.contrast import effective_events, is_wrong_place, left_standing, moved
from halluc_plugin.verifiers import Outcome


class Kind(StrEnum):
    """What the two sides of a pair are; all but the first two are sampled.

    (:mod:`.pair_rows`, :mod:`.refine_rows`, :mod:`.consensus_rows`)
    """

    MOVED = "moved"
    """A trace, and the same with the edits of one event at a wrong place."""
    KEPT = "kept"
    """A trace, and what it had written when it took back: the error is left standing."""
    ANSWERS = "answers"
    """A right answer of the model, and a wrong one."""
    SIBLINGS = "siblings"
    """Two steps of the model after one prefix, of which one can still be right."""
    VERIFY = "verify"
    """A finished answer that ends, and the same with a restart behind it: what stands is preferred."""
    CORRECT = "correct"
    """The same, and behind the restart of a wrong answer a right one."""
    CONSENSUS = "consensus"
    """What most copies of the model come to in a debate, and what others come to."""


TracedProblem = tuple[TraceRow, PosedProblem | None]
"""A trace, and the problem by which its answer is judged, None if nothing judges it."""


def read_traced_problems(path: Path, tokenizer: Any, limit: int | None = None) -> list[TracedProblem]:
    """Read a file of traces, each with the problem that it answers.

    Args:
        path: The file to read.
        tokenizer: The tokenizer of its ids.
        limit: Largest number of traces, from the first; None for all.

    Returns:
        The traces; those whose source has no verifier, or that name none, have no problem.

    Raises:
        DataError: The file is refused by :func:`halluc_plugin.data.trace_files.read_traces`.
    """
    traces = read_traces(path, tokenizer)[:limit]
    rows = read_rows(path, ("prompt_ids",), optional=("data_source", "reward_model"))
    found: list[TracedProblem] = []
    for trace, row in zip(traces, rows, strict=False):
        task = find_task(row.get("data_source")) if row.get("reward_model") else None
        posed = None
        if task is not None:
            source = str(row["data_source"])
            posed = PosedProblem(tuple(trace.prompt_ids), ground_truth(row), task.verifier, source)
        found.append((trace, posed))
    return found


@dataclass(frozen=True)
class Contrasts:
    """Makes the pairs of a part from traces with edits.

    Where a problem is known, pairs are kept whose chosen side is right and whose rejected side is not.

    Attributes:
        kind: ``moved`` or ``kept``.
        vocab: The edit vocabulary of the ids.
        end_ids: Ids that end a response.
        tokenizer: The tokenizer of the ids.
        most: Largest number of pairs of a trace.
        seed: Seed of the drawn places.
    """

    kind: Kind
    vocab: EditVocab
    end_ids: frozenset[int]
    tokenizer: Any
    most: int
    seed: int

    def __call__(self, number: int, traces: Sequence[TracedProblem]) -> tuple[list[Row], Counter[str]]:
        """Rows and counts.

        Raises:
            DataError: A trace takes back in words, where no edit could be moved.
        """
        rng = np.random.default_rng([self.seed, 41, number])
        rows, tally = list[Row](), Counter(dict.fromkeys(("traces", "judged", "wrong", "pairs"), 0))
        for trace, problem in traces:
            if trace.erased is not None:
                raise DataError(
                    "A trace takes back in words (column erased), and no edit can be moved or left out.",
                    "Give traces with edit tokens.",
                )
            tally.update(traces=1, judged=problem is not None)
            if problem is not None and not self._right(problem, trace.response_ids):
                tally.update(wrong=1)
                continue
            twins = (
                twin
                for twin in self._twins(trace.response_ids, rng)
                if problem is None or not self._right(problem, twin)
            )
            pairs = (PairRow(trace.prompt_ids, trace.response_ids, twin) for twin in twins)
            kept = list(islice((pair for pair in pairs if fault(pair) is None), self.most))
            tally.update(pairs=len(kept))
            rows += [pair.columns() for pair in kept]
        return rows, tally

    def _twins(self, ids: list[int], rng: np.random.Generator) -> Iterator[list[int]]:
        """Worse twins of a trace, in a drawn order."""
        events = effective_events(ids, self.vocab)
        if self.kind is Kind.KEPT:
            end = ids[-1] if ids[-1] in self.end_ids else self._end_id()
            yield from (left_standing(ids, event, end) for event in events)
            return
        places = [(event, place) for event in events for place in range(1, len(ids))]
        for drawn in rng.permutation(len(places)).tolist():
            event, place = places[drawn]
            if is_wrong_place(ids, event, place, self.vocab, self.end_ids):
                yield moved(ids, event, place)

    def _end_id(self) -> int:
        """The id that ends a response where a trace was cut off: the tokenizer's, if it has one."""
        own: int | None = self.tokenizer.eos_token_id
        return min(self.end_ids) if own is None else own

    def _right(self, problem: PosedProblem, ids: Sequence[int]) -> bool:
        text = text_of(Response(tuple(collapse(ids, self.vocab))), self.tokenizer)
        ended = ids[-1] in self.end_ids
        return ended and problem.verifier.verify(problem.truth, text) is Outcome.CORRECT
