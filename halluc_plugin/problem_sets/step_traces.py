"""Write raw traces of answers in steps: clean ones, and ones in which errors are taken back."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError, TaskError
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
from halluc_plugin.problem_sets.steps import Form, Problem, ProblemSet
from halluc_plugin.problem_sets.weights import check_weights, draw_kind


class Pairing(StrEnum):
    """How many traces a problem has."""

    PAIRED = "paired"
    """Each problem has a clean trace, and further ones with at least one error."""
    SINGLE = "single"
    """Each problem has one trace, with as many errors as the rate gives, possibly none: the retry rate of
    Physics of Language Models 2.2 (arXiv 2408.16293)."""


@dataclass(frozen=True)
class StepTraceSettings:
    """The form of backtracking traces.

    Args:
        pairing: How many traces a problem has.
        edit: The edit that deletes errors.
        ending: The place where a trace ends.
        rate: Probability of an error at each step, and of another one after each error.
        mix: Weight of each kind of error by name; kinds that are not named do not occur. An empty mapping
            makes all equally likely.

    Raises:
        SettingsError: The rate is not a probability below 1, or the weights are invalid.
    """

    pairing: Pairing = option(
        Pairing.PAIRED,
        "paired: a clean trace of each problem and backtracking ones; single: one trace of each problem.",
    )
    edit: Edit = option(Edit.TOKEN, EDIT_HELP)
    ending: Ending = option(Ending.CORRECTION, ENDING_HELP)
    rate: float = option(
        0.2,
        "Probability of an error at each step, and again after each.",
        flag="--error-rate",
        old=("--rate",),
    )
    mix: Mapping[str, float] = weights({}, "Weights of errors")

    def __post_init__(self) -> None:
        lowest = self.rate >= 0 if self.pairing is Pairing.SINGLE else self.rate > 0
        if not lowest or self.rate >= 1:
            raise SettingsError(f"The error rate is {self.rate}.", "Give a probability above 0 and below 1.")
        if self.mix:
            check_weights(list(self.mix.values()))
        if self.pairing is Pairing.SINGLE and self.ending is Ending.BACKTRACK:
            raise SettingsError(
                "Single traces cannot end at the backtrack: their problems would have no answer.",
                "Write paired traces, or let them end with the correction.",
            )


class StepTraceWriter:
    """Writes traces in the ids of one tokenizer.

    Args:
        tokenizer: A transformers tokenizer with the edit tokens that ``settings`` need.
        vocab: The edit vocabulary of the tokenizer.
        task: The kind of problems.
        settings: The form of the traces.

    Raises:
        EditVocabError: Errors are to be deleted by steps, and the tokenizer has no step backtrack token.
        SettingsError: The mix names a kind of error that the task does not have, or step edits are to delete
            parts of one line.
    """

    def __init__(
        self, tokenizer: Any, vocab: EditVocab, task: ProblemSet, settings: StepTraceSettings
    ) -> None:
        from halluc_plugin.traces.writing import deletion

        self._tokenizer, self._vocab, self._task, self._settings = tokenizer, vocab, task, settings
        deletion((0,), settings.edit.kind, vocab)  # refuses a vocabulary without the token
        unknown = set(settings.mix) - set(task.kinds)
        if unknown:
            raise SettingsError(
                f"{task.name} has no error {', '.join(sorted(unknown))}.",
                f"Choose among {', '.join(task.kinds)}.",
            )
        if settings.edit is Edit.STEP and task.form is Form.DIRECT:
            raise SettingsError(
                "Step edits delete lines, and a direct answer has only one.",
                "Delete errors by token, or let answers show their steps.",
            )
        self._weights = [settings.mix.get(kind, 0.0) if settings.mix else 1.0 for kind in task.kinds]

    def clean(self, problem: Problem) -> tuple[int, ...]:
        """Return the token ids of the reference answer, then EOS."""
        return (*self._encode(problem.answer), self._tokenizer.eos_token_id)

    def backtracking(self, problem: Problem, rng: np.random.Generator) -> BacktrackTrace | None:
        """Return the reference answer with at least one error on the way, None if no error is possible."""
        for _ in range(ATTEMPTS):
            if trace := self._trace(problem, self._draw_errors(problem, rng)):
                return trace
        return None

    def single(self, problem: Problem, rng: np.random.Generator) -> BacktrackTrace:
        """Return the reference answer with as many errors as the rate gives, possibly none."""
        errors = self._draw_errors(problem, rng)
        return self._trace(problem, errors) or BacktrackTrace(self.clean(problem), ())

    def _trace(self, problem: Problem, errors: list[LocatedError]) -> BacktrackTrace | None:
        if not errors:
            return None
        return write_trace(
            self.clean(problem), errors, self._vocab,
            eos=self._tokenizer.eos_token_id, edit=self._settings.edit, ending=self._settings.ending,
        )  # fmt: skip

    def _draw_errors(self, problem: Problem, rng: np.random.Generator) -> list[LocatedError]:
        reference = self._encode(problem.answer)
        errors, before = [], ""
        for index, step in enumerate(problem.steps):
            while rng.random() < self._settings.rate:
                kind = draw_kind(self._task.kinds, self._weights, rng)
                wrong = self._task.wrong(kind, problem, index, rng)
                if wrong == step:
                    raise TaskError(
                        f"{self._task.name} gives {step!r}, which is right, as an error ({kind}).",
                        "Let `wrong` return another step, or None where no such error is possible.",
                    )
                if wrong is not None:
                    errors.append(
                        locate(self._encode, reference, before, wrong, kind, edit=self._settings.edit)
                    )
            before += step
        return sorted(errors, key=lambda error: error.position)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids
