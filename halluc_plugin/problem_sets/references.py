"""Write raw traces for any data set with reference answers, by injecting errors into them.

Rows are verl's, with the reference answer in ``extra_info.answer``, as in the data sets of this package and
in those of verl's own scripts for GSM8K.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halluc_plugin.data.parquet import checked_rows, storable
from halluc_plugin.data.prompts import row_prompts
from halluc_plugin.data.resumable import Row
from halluc_plugin.data.rows import reference_answer
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import DataError
from halluc_plugin.problem_sets.raw_traces import Edit


@dataclass(frozen=True)
class Reference:
    """A row with its reference answer.

    Attributes:
        row: The columns of the row.
        prompt: Token ids of the prompt, Int[P].
        ids: Token ids of the reference answer, EOS included.
    """

    row: Mapping[str, Any]
    prompt: tuple[int, ...]
    ids: tuple[int, ...]


def read_references(
    path: Path,
    tokenizer: Any,
    limit: int | None = None,
    *,
    template_kwargs: Mapping[str, Any] | None = None,
) -> list[Reference]:
    """Read the rows of a verl file with their reference answers; no verifier is needed.

    Args:
        path: The file to read.
        tokenizer: The tokenizer that encodes prompts and answers.
        limit: Largest number of rows, from the first; None for all.
        template_kwargs: Further arguments of the chat template.

    Raises:
        DataError: The file is refused by :func:`halluc_plugin.data.parquet.checked_rows`, or a row has no
            reference answer or one that is not a text.
    """
    rows = checked_rows(path, truth_fault=None)[:limit]
    for number, row in enumerate(rows):
        if fault := _answer_fault(reference_answer(row)):
            raise DataError(
                f"{path}, row {number} has {fault} in extra_info.answer.",
                "Write it there as text, as verl's own scripts for GSM8K do.",
            )
    prompts = row_prompts(path, rows, tokenizer, template_kwargs)
    return [
        Reference(
            kept,
            prompt,
            (*tokenizer.encode(reference_answer(row), add_special_tokens=False), tokenizer.eos_token_id),
        )
        for row, prompt, kept in zip(rows, prompts, storable(rows), strict=True)
    ]


def _answer_fault(answer: Any) -> str | None:
    if answer is None or answer == "":
        return "no reference answer"
    if not isinstance(answer, str):
        return f"{answer!r:.80} ({type(answer).__name__}) and no reference answer as text"
    return None


@dataclass(frozen=True)
class Writing:
    """How traces are written.

    Attributes:
        vocab: The edit vocabulary of the ids.
        eos_ids: Ids that end a response.
        edit: The edit that deletes errors.
        marker: Ids of words that take back instead of edits: each trace becomes its natural-language twin.
            None for edits.
        clean: Whether each reference is also written unchanged.
    """

    vocab: EditVocab
    eos_ids: frozenset[int]
    edit: Edit = Edit.TOKEN
    marker: tuple[int, ...] | None = None
    clean: bool = True

    def rows(self, reference: Reference, traces: Sequence[Sequence[int]]) -> list[Row]:
        """Return the rows of a reference: the reference itself, if asked for, and its traces."""
        written = [reference.ids, *traces] if self.clean else traces
        return [self._row(reference, ids) for ids in written]

    def _row(self, reference: Reference, ids: Sequence[int]) -> Row:
        from halluc_plugin.traces import marker_twin

        asked = {**reference.row, "prompt_ids": list(reference.prompt)}
        if self.marker is None:
            return {**asked, "response_ids": list(ids)}
        twin = marker_twin(ids, self.marker, self.vocab)
        return {**asked, "response_ids": list(twin.ids), "erased": list(twin.erased)}


@dataclass(frozen=True)
class Injected:
    """Makes the rows of a part; errors are random tokens ("stochastic injection").

    Attributes:
        writing: How traces are written.
        pool: Ids that errors are drawn from.
        rate: Probability of an error at each position, or at each step if errors are deleted by steps.
        lengths: Relative weight of each length of an error.
        copies: Number of traces for each reference.
        seed: Seed of the data set.
    """

    writing: Writing
    pool: tuple[int, ...]
    rate: float
    lengths: Mapping[int, float]
    copies: int
    seed: int

    def __call__(self, number: int, references: Sequence[Reference]) -> tuple[list[Row], Counter[str]]:
        """Rows and counts; a trace without any error is drawn again a few times, then left out."""
        rng = np.random.default_rng([self.seed, 5, number])
        rows, tally = list[Row](), Counter[str]()
        for reference in references:
            traces = [ids for _ in range(self.copies) if (ids := self._trace(reference, rng))]
            tally.update(backtracking=len(traces), no_error_drawn=self.copies - len(traces))
            rows += self.writing.rows(reference, traces)
        tally["clean"] = len(rows) - tally["backtracking"]
        return rows, tally

    def _trace(self, reference: Reference, rng: np.random.Generator) -> tuple[int, ...] | None:
        from halluc_plugin.problem_sets.raw_traces import ATTEMPTS
        from halluc_plugin.traces import inject, random_spans

        vocab, eos_ids = self.writing.vocab, self.writing.eos_ids
        for _ in range(ATTEMPTS):
            propose = random_spans(
                reference.ids, vocab,
                eos_ids=eos_ids, pool=self.pool, rate=self.rate, lengths=self.lengths, rng=rng,
            )  # fmt: skip
            kind = self.writing.edit.kind
            ids = inject(reference.ids, propose, vocab, eos_ids=eos_ids, edit=kind).ids
            if ids != reference.ids:
                return ids
        return None


def text_pool(tokenizer: Any, vocab: EditVocab) -> tuple[int, ...]:
    """Return all ids of a tokenizer that can be part of a text; added tokens are left out."""
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder, *vocab.edit_ids}
    return tuple(sorted(set(tokenizer.get_vocab().values()) - special))
