"""Raw traces of Countdown answers: clean ones, and ones in which errors are written and taken back.

D_op and D_back of Self-Backtracking (arXiv 2502.04404, section 4.1). Deviation 1: a trace may go on to the
correction, and does by default; the paper's end at the backtrack (``Ending.BACKTRACK``). Deviation 2: errors
are deleted token by token by default, from the first wrong token on; the paper deletes whole steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from halluc_plugin.data.countdown import CountdownSettings, Problem
from halluc_plugin.data.countdown_errors import ErrorKind, ErrorMix, replay, write, wrong_steps
from halluc_plugin.data.countdown_solver import Step
from halluc_plugin.edits import EditKind, EditVocab
from halluc_plugin.errors import SettingsError

ATTEMPTS = 20
"""Draws of errors for one problem before it is left without a backtracking trace."""


class Edit(StrEnum):
    """How an error is deleted."""

    TOKEN = "token"  # noqa: S105 - a kind of edit
    """One backtrack for each token, from the first wrong one on."""
    STEP = "step"
    """One step backtrack for each line."""


class Ending(StrEnum):
    """Where a backtracking trace ends."""

    CORRECTION = "correction"
    """With the whole answer and EOS."""
    BACKTRACK = "backtrack"
    """Right after the first error is deleted, as in the paper."""


@dataclass(frozen=True)
class TraceSettings:
    """What backtracking traces look like.

    Args:
        edit: How errors are deleted.
        ending: Where a trace ends.
        rate: Probability of an error at each step; a trace has at least one.
        follow: Probability that an exploration error is followed to the end before it is deleted.
        mix: Weights of the kinds of error.

    Raises:
        SettingsError: A probability is out of range.
    """

    edit: Edit = Edit.TOKEN
    ending: Ending = Ending.CORRECTION
    rate: float = 0.5
    follow: float = 0.5
    mix: ErrorMix = field(default_factory=ErrorMix)

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise SettingsError(f"The error rate is {self.rate}.", "Give a probability above 0.")
        if not 0 <= self.follow <= 1:
            raise SettingsError(f"follow is {self.follow}.", "Give a probability.")


@dataclass(frozen=True)
class BacktrackTrace:
    """A raw trace and what went wrong in it.

    Attributes:
        ids: Actions in order, EOS included where the trace has one.
        kinds: Kind of each error, in order.
    """

    ids: tuple[int, ...]
    kinds: tuple[ErrorKind, ...]


class TraceWriter:
    """Writes traces in the ids of one tokenizer.

    Args:
        tokenizer: A transformers tokenizer with the edit tokens that ``settings`` need.
        vocab: Its edit tokens.
        problems: What the problems look like.
        settings: What the traces look like.

    Raises:
        EditVocabError: Errors are to be deleted by steps, and there is no step backtrack token.
    """

    def __init__(
        self, tokenizer: Any, vocab: EditVocab, problems: CountdownSettings, settings: TraceSettings
    ) -> None:
        from halluc_plugin.traces.writing import deletion

        self._tokenizer, self._vocab, self._problems, self._settings = tokenizer, vocab, problems, settings
        self._edit = EditKind.STEP if settings.edit is Edit.STEP else EditKind.BACKTRACK
        deletion((0,), self._edit, vocab)  # refuses a vocabulary without the token

    def clean(self, problem: Problem) -> tuple[int, ...]:
        """The reference answer: one equation a line, then EOS."""
        return (*self._encode(answer_text(problem)), self._tokenizer.eos_token_id)

    def backtracking(self, problem: Problem, rng: np.random.Generator) -> BacktrackTrace | None:
        """The reference answer with errors on the way; None where no error of the mix is possible."""
        from halluc_plugin.edits import events, resolve_row
        from halluc_plugin.traces import inject

        for _ in range(ATTEMPTS):
            errors = self._draw_errors(problem, rng)
            if errors:
                break
        else:
            return None
        spans = {position: span for position, span, _ in errors}
        kinds = tuple(kind for _, _, kind in errors)
        eos = self._tokenizer.eos_token_id
        ids = inject(self.clean(problem), spans.get, self._vocab, eos_ids={eos}, edit=self._edit).ids
        if self._settings.ending is Ending.BACKTRACK:
            ids, kinds = ids[: events(resolve_row(ids, self._vocab))[0].stop], kinds[:1]
        return BacktrackTrace(ids, kinds)

    def _draw_errors(
        self, problem: Problem, rng: np.random.Generator
    ) -> list[tuple[int, list[int], ErrorKind]]:
        """Where each error begins in the reference ids, its ids, its kind."""
        reference = self._encode(answer_text(problem))
        errors, before = [], ""
        for right, numbers in zip(problem.solution, replay(problem.numbers, problem.solution), strict=True):
            if rng.random() < self._settings.rate:
                kind = self._settings.mix.draw(rng)
                wrong = wrong_steps(
                    kind, numbers, problem.target, right,
                    largest=self._problems.largest_target, follow=self._settings.follow, rng=rng,
                )  # fmt: skip
                if wrong is not None:
                    errors.append((*self._locate(reference, before, wrong), kind))
            before += write(right) + "\n"
        return errors

    def _locate(self, reference: list[int], before: str, wrong: Sequence[Step]) -> tuple[int, list[int]]:
        """Position of an error in the reference, and its ids from there on."""
        lines = "\n".join(map(write, wrong))
        if self._edit is EditKind.STEP:
            position = len(self._encode(before))
            return position, self._encode(before + lines + "\n")[position:]
        for text in (before + lines, before + lines + "\n"):
            ids = self._encode(text)
            position = _common_length(ids, reference)
            if position < len(ids):
                return position, ids[position:]
            # The wrong result is the beginning of the right one: only its end of line differs.
        raise AssertionError("a wrong line differs from the right one")

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids


def _common_length(a: Sequence[int], b: Sequence[int]) -> int:
    """How many ids two sequences begin with alike."""
    differs = (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    return next(differs, min(len(a), len(b)))


def answer_text(problem: Problem) -> str:
    """The drawn solution as text, one equation a line."""
    return "".join(write(step) + "\n" for step in problem.solution)
