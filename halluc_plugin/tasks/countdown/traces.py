"""Write raw traces of Countdown answers: clean ones, and ones in which errors are taken back.

They are D_op and D_back of Self-Backtracking (arXiv 2502.04404, section 4.1). Deviation 1: a trace may go on
to the correction, and does by default; the paper's end at the backtrack (``Ending.BACKTRACK``). Deviation 2:
errors are deleted token by token by default, from the first wrong token on; the paper deletes whole steps.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.options import option, weights
from halluc_plugin.problem_sets.raw_traces import (
    ATTEMPTS,
    EDIT_HELP,
    ENDING_HELP,
    BacktrackTrace,
    Edit,
    Ending,
    LocatedError,
    locate,
    write_trace,
)
from halluc_plugin.tasks.countdown.errors import ErrorMix, replay, wrong_steps
from halluc_plugin.tasks.countdown.problems import CountdownSettings, Problem
from halluc_plugin.tasks.countdown.solver import write


@dataclass(frozen=True)
class TraceSettings:
    """The form of backtracking traces.

    Args:
        edit: The edit that deletes errors.
        ending: The place where a trace ends.
        rate: Probability of an error at each step; a trace has at least one.
        follow: Probability that an exploration error is followed to the end before it is deleted.
        mix: Weights of the kinds of error.

    Raises:
        SettingsError: A probability is out of range.
    """

    edit: Edit = option(Edit.TOKEN, EDIT_HELP)
    ending: Ending = option(Ending.CORRECTION, ENDING_HELP)
    rate: float = option(0.5, "Probability of an error at each step.", flag="--error-rate", old=("--rate",))
    follow: float = option(0.5, "Probability that an exploration error is followed to the end.")
    mix: ErrorMix = weights(ErrorMix(), "Weights of errors")

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise SettingsError(f"The error rate is {self.rate}.", "Give a probability above 0.")
        if not 0 <= self.follow <= 1:
            raise SettingsError(f"follow is {self.follow}.", "Give a probability.")


class TraceWriter:
    """Writes traces in the ids of one tokenizer.

    Args:
        tokenizer: A transformers tokenizer with the edit tokens that ``settings`` need.
        vocab: The edit vocabulary of the tokenizer.
        problems: The kind of problems.
        settings: The form of the traces.

    Raises:
        EditVocabError: Errors are to be deleted by steps, and the tokenizer has no step backtrack token.
    """

    def __init__(
        self, tokenizer: Any, vocab: EditVocab, problems: CountdownSettings, settings: TraceSettings
    ) -> None:
        from halluc_plugin.traces.writing import deletion

        self._tokenizer, self._vocab, self._problems, self._settings = tokenizer, vocab, problems, settings
        deletion((0,), settings.edit.kind, vocab)  # refuses a vocabulary without the token

    def clean(self, problem: Problem) -> tuple[int, ...]:
        """Return the ids of the reference answer: one equation on each line, then EOS."""
        return (*self._encode(problem.answer), self._tokenizer.eos_token_id)

    def backtracking(self, problem: Problem, rng: np.random.Generator) -> BacktrackTrace | None:
        """Return the reference answer with errors on the way, None if no error of the mix is possible."""
        for _ in range(ATTEMPTS):
            errors = self._draw_errors(problem, rng)
            if errors:
                return write_trace(
                    self.clean(problem), errors, self._vocab,
                    eos=self._tokenizer.eos_token_id, edit=self._settings.edit, ending=self._settings.ending,
                )  # fmt: skip
        return None

    def _draw_errors(self, problem: Problem, rng: np.random.Generator) -> list[LocatedError]:
        reference = self._encode(problem.answer)
        errors, before = [], ""
        for right, numbers in zip(problem.solution, replay(problem.numbers, problem.solution), strict=True):
            if rng.random() < self._settings.rate:
                kind = self._settings.mix.draw(rng)
                wrong = wrong_steps(
                    kind, numbers, problem.target, right,
                    largest=self._problems.largest_target, follow=self._settings.follow, rng=rng,
                )  # fmt: skip
                if wrong is not None:
                    lines = "".join(write(step) + "\n" for step in wrong)
                    errors.append(
                        locate(self._encode, reference, before, lines, kind, edit=self._settings.edit)
                    )
            before += write(right) + "\n"
        return errors

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids
