"""Collect verified wrong-to-right data: a model's own wrong answers, taken back, and right ones after them.

This is "verifiable backtracking": sample k answers to a problem and keep the right ones; after a wrong one
write what takes it back, sample again, and keep what the verifier finds right. Errors and corrections are
both the model's own, and any verifier of answers suffices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.edits import Context, EditKind
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.sampling.driver import Sampler, run
from halluc_plugin.sampling.independent import independent
from halluc_plugin.sampling.problems import PosedProblem, step_oracle, text_of
from halluc_plugin.sampling.states import End, Request, Response, Space
from halluc_plugin.verifiers import Outcome, PrefixVerifier


class Depth(StrEnum):
    """How much of a wrong answer is taken back."""

    ANSWER = "answer"
    """The whole answer is taken back."""
    ERROR = "error"
    """It is taken back from the first token after which no right answer can be reached; the verifier must
    judge prefixes."""


@dataclass(frozen=True)
class CorrectionSettings:
    """How to sample, and what to keep.

    Args:
        attempts: Number k of answers sampled for a problem.
        depth: How much of a wrong answer is taken back.
        context: What the model sees when it samples again: all that was written (``soft``), or what is live
            (``hard``).
        marker: Ids of words that take back instead of edits; None for edits.
        most: Largest number of right answers, and of corrections, that are kept for a problem.

    Raises:
        SettingsError: A count is below 1, or words are asked to take back a part of an answer or to act in
            hard context.
    """

    attempts: int = 8
    depth: Depth = Depth.ANSWER
    context: Context = Context.SOFT
    marker: tuple[int, ...] | None = None
    most: int = 4

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.most < 1:
            raise SettingsError(
                f"{self.attempts} attempts, at most {self.most} kept.", "Give at least 1 of each."
            )
        if self.marker is not None and not self.marker:
            raise SettingsError("The marker is empty.", "Give words that announce a correction.")
        if self.marker is not None and self.depth is not Depth.ANSWER:
            raise SettingsError(
                "Words cannot say how much they take back.", "Use a marker with depth answer, or edits."
            )

    def most_tokens(self, answer: int) -> int:
        """Return the largest number of tokens after a prompt, for answers of at most ``answer`` tokens.

        In soft context the second sample follows a whole answer and what takes it back.
        """
        if self.context is Context.HARD:
            return answer
        return answer + (answer if self.marker is None else len(self.marker)) + answer


@dataclass(frozen=True)
class Collected:
    """The answers that were kept for one problem.

    Attributes:
        right: Distinct right answers, the likeliest first.
        corrected: Distinct wrong answers, each taken back and followed by a right one.
        answers: Number of answers that were sampled and finished.
        wrong: Number of these that were wrong.
    """

    right: list[TraceRow]
    corrected: list[TraceRow]
    answers: int
    wrong: int


def collect(
    problems: Sequence[PosedProblem],
    sampler: Sampler,
    space: Space,
    tokenizer: Any,
    settings: CorrectionSettings,
) -> list[Collected]:
    """Sample answers, take the wrong ones back, sample again, and keep what the verifier accepts.

    Args:
        problems: The problems, sampled together.
        sampler: The model that is sampled.
        space: The space in which answers are sampled. Its edits must be banned, so that errors are taken back
            only by the collected traces.
        tokenizer: The tokenizer of the ids.
        settings: How to sample and what to keep.

    Returns:
        What was kept for each problem.

    Raises:
        SettingsError: Edits are not banned.
        DataError: The depth is that of the error, and a verifier does not judge prefixes.
    """
    if not space.edits_banned:
        raise SettingsError("The space lets the model take back by itself.", "Ban edits in it.")
    if settings.depth is Depth.ERROR and not all(isinstance(p.verifier, PrefixVerifier) for p in problems):
        raise DataError(
            "A problem's verifier judges no prefixes, so where its answers go wrong is not known.",
            "Take back whole answers (depth answer).",
        )
    return _Collector(problems, sampler, space, tokenizer, settings).collect()


@dataclass(frozen=True)
class _Draft:
    """A wrong answer that has been taken back.

    Attributes:
        number: Number of the problem.
        written: All that was written, with what takes it back.
        erased: For each whether it was taken back.
        left: What is left of it.
    """

    number: int
    written: tuple[int, ...]
    erased: tuple[bool, ...]
    left: tuple[int, ...]


@dataclass(frozen=True)
class _Collector:
    problems: Sequence[PosedProblem]
    sampler: Sampler
    space: Space
    tokenizer: Any
    settings: CorrectionSettings

    def collect(self) -> list[Collected]:
        prompts = [problem.prompt for problem in self.problems]
        searches = [independent(prompt, self.space, self.settings.attempts) for prompt in prompts]
        answers = [found.responses for found in run(searches, prompts, self.sampler)]
        verdicts = [
            {response.ids: self._right(number, response) for response in responses}
            for number, responses in enumerate(answers)
        ]
        wrong = [
            self._draft(number, ids)
            for number, judged in enumerate(verdicts)
            for ids, right in judged.items()
            if not right
        ]
        # An answer that only ends too early has nothing to take back.
        corrected = self._try_again([draft for draft in wrong if any(draft.erased)])
        return [
            Collected(
                self._right_rows(number, [r for r in responses if verdicts[number][r.ids]]),
                corrected[number],
                len(responses),
                sum(not verdicts[number][response.ids] for response in responses),
            )
            for number, responses in enumerate(answers)
        ]

    def _right_rows(self, number: int, right: Sequence[Response]) -> list[TraceRow]:
        distinct = {response.ids: response for response in right}.values()
        likeliest = sorted(distinct, key=lambda response: -response.mean_logprob)[: self.settings.most]
        # All rows of a file say what words erased, or none does.
        return [self._row(number, response.ids, [False] * len(response.ids)) for response in likeliest]

    def _row(self, number: int, ids: Sequence[int], erased: list[bool]) -> TraceRow:
        in_words = self.settings.marker is not None
        return TraceRow(list(self.problems[number].prompt), list(ids), erased if in_words else None)

    def _draft(self, number: int, ids: tuple[int, ...]) -> _Draft:
        wrong = ids[:-1]  # nothing can be taken back after EOS
        kept = 0 if self.settings.depth is Depth.ANSWER else self._first_bad(number, wrong)
        announced = self.settings.marker or self._backtracks(wrong[kept:])
        erased = [False] * kept + [True] * (len(wrong) - kept) + [False] * len(announced)
        return _Draft(number, wrong + announced, tuple(erased), wrong[:kept])

    def _backtracks(self, wrong: tuple[int, ...]) -> tuple[int, ...]:
        from halluc_plugin.traces.writing import deletion

        return tuple(deletion(wrong, EditKind.BACKTRACK, self.space.vocab))

    def _first_bad(self, number: int, ids: tuple[int, ...]) -> int:
        """Index of the first token after which no right answer can be reached."""
        ok = step_oracle(self.problems[number], self.tokenizer)
        return next((index for index in range(len(ids)) if not ok(ids[: index + 1])), len(ids))

    def _try_again(self, drafts: Sequence[_Draft]) -> list[list[TraceRow]]:
        """Corrections that the verifier finds right, for each problem."""
        kept: list[list[TraceRow]] = [[] for _ in self.problems]
        requests = [self._request(draft) for draft in drafts]
        samples = self.sampler.sample(requests) if requests else []
        for draft, sample in zip(drafts, samples, strict=True):
            rows, whole = kept[draft.number], Response(draft.left + sample.ids)
            room = len(rows) < self.settings.most
            if room and sample.end is End.EOS and self._right(draft.number, whole):
                erased = [*draft.erased, *[False] * len(sample.ids)]
                rows.append(self._row(draft.number, [*draft.written, *sample.ids], erased))
        return kept

    def _request(self, draft: _Draft) -> Request:
        seen = draft.written if self.settings.context is Context.SOFT else draft.left
        prefix = self.problems[draft.number].prompt + seen
        room = max(1, self.space.max_tokens - len(draft.left))
        return Request(prefix, room, self.space.temperature, self.space.stop_ids())

    def _right(self, number: int, response: Response) -> bool:
        problem = self.problems[number]
        return problem.verifier.verify(problem.truth, text_of(response, self.tokenizer)) is Outcome.CORRECT
