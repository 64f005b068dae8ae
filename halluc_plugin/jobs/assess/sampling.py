"""Make the records of a part of a file: samples, retries from good states, and the model's signals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halluc_plugin.errors import TokenizerError
from halluc_plugin.jobs.assess.records import (
    AnswerRecord,
    PlaceRecord,
    ProblemRecord,
    RetryRecord,
    StepRecord,
)
from halluc_plugin.jobs.assess.steps import Cutter, Judge, Judged, judge_of
from halluc_plugin.probes import FinishedStep, edit_emission, step_signals
from halluc_plugin.problem_sets.search import SearchVerifier
from halluc_plugin.sampling.driver import Sampler
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.seeds import seed_part
from halluc_plugin.sampling.states import End, Response, Sample, wanted
from halluc_plugin.scorers.verdicts import VerdictScorer
from halluc_plugin.verifiers import FinalVerifier, Outcome, StepKind, final_vote

RECORD = "record"
STATES, RETRIES = 4, 4
"""Number of good states of a problem to continue from, and number of retries from each."""
PLACES = 8
"""Number of places of each kind, dead and live, that are probed in a problem."""

Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class _Answer:
    """A sampled answer with its steps."""

    sample: Sample
    spans: Spans
    steps: Sequence[Judged]

    @property
    def failed(self) -> int | None:
        """Index of the first step that is not live."""
        return next((n for n, step in enumerate(self.steps) if step.kind is not StepKind.LIVE), None)


@dataclass(frozen=True)
class Records:
    """Makes the records of problems.

    Attributes:
        sampler: The model that answers.
        network: The same model, for reading its signals.
        cutter: Cuts the model's answers into steps.
        samples: Number of answers to each problem.
        seed: Seed of the samples.
        edits: Whether the model has an edit token, which is banned in its answers.
        question: Ids that ask for a verdict after a text; None if the tokenizer has no verdicts.
    """

    sampler: Sampler
    network: Any
    cutter: Cutter
    samples: int
    seed: int
    edits: bool
    question: Sequence[int] | None

    def __call__(
        self, number: int, problems: Sequence[PosedProblem]
    ) -> tuple[list[dict[str, Any]], Mapping[str, int]]:
        """The rows of a part."""
        seed_part(self.sampler, self.seed, number)
        space, judges = self.cutter.space, [judge_of(problem, self.cutter) for problem in problems]
        asked = [
            wanted(problem.prompt, Response(), space) for problem in problems for _ in range(self.samples)
        ]
        samples = iter(self.sampler.sample(asked))
        answers = [[self._cut(next(samples), judge) for _ in range(self.samples)] for judge in judges]
        retries = self._retried(problems, answers, judges)
        rows = []
        for problem, of_problem, again in zip(problems, answers, retries, strict=True):
            record = ProblemRecord(
                len(problem.prompt),
                [self._told(problem, answer) for answer in of_problem],
                again,
                self._places(problem, of_problem),
            )
            rows.append({RECORD: record.as_json()})
        return rows, {}

    def _cut(self, sample: Sample, judge: Judge) -> _Answer:
        spans = self.cutter.spans(sample.ids, ended=sample.end is End.EOS)
        return _Answer(sample, spans, judge(sample.ids, spans))

    def _right(self, problem: PosedProblem, ids: Sequence[int], end: End) -> bool:
        outcome = problem.verifier.verify(problem.truth, self.cutter.text(ids))
        return end is End.EOS and outcome is Outcome.CORRECT

    def _told(self, problem: PosedProblem, answer: _Answer) -> AnswerRecord:
        ids, ended = answer.sample.ids, answer.sample.end is End.EOS
        right = self._right(problem, ids, answer.sample.end)
        steps = [
            StepRecord(step.kind, step.seen, end - start, step.branches)
            for step, (start, end) in zip(answer.steps, answer.spans, strict=True)
        ]
        if ended and not right and answer.failed is None:
            # It ends where it must not. Where no step is told apart from another, this one is not, either.
            seen = True if isinstance(problem.verifier, SearchVerifier) else None
            steps.append(StepRecord(StepKind.SLIP if seen else StepKind.DEAD, seen, 0))
        verifier, text = problem.verifier, self.cutter.text(ids)
        vote = final_vote(verifier, problem.truth, text) if ended else None
        agreed = right
        if isinstance(verifier, FinalVerifier):
            agreed = verifier.verify_final(problem.truth, text) is Outcome.CORRECT
        return AnswerRecord(right, ended, vote, vote is not None and agreed, len(ids), steps)

    def _retried(
        self, problems: Sequence[PosedProblem], answers: Sequence[Sequence[_Answer]], judges: Sequence[Judge]
    ) -> list[list[RetryRecord]]:
        """Going on from the last good states of what failed, each state once."""
        states: list[tuple[int, tuple[int, ...], int]] = []
        for number, of_problem in enumerate(answers):
            found: dict[tuple[int, ...], int] = {}
            for answer in of_problem:
                if answer.failed is not None:
                    kept = answer.sample.ids[: answer.spans[answer.failed][0]]
                    found.setdefault(kept, answer.failed)
            states += [(number, kept, failed) for kept, failed in list(found.items())[:STATES]]
        requests = [
            wanted(problems[number].prompt, Response(kept), self.cutter.space)
            for number, kept, _ in states
            for _ in range(RETRIES)
        ]
        samples = iter(self.sampler.sample(requests) if requests else [])
        records: list[list[RetryRecord]] = [[] for _ in problems]
        for number, kept, failed in states:
            for _ in range(RETRIES):
                sample = next(samples)
                whole = Sample((*kept, *sample.ids), (), sample.end)
                steps = self._cut(whole, judges[number]).steps
                live = len(steps) > failed and steps[failed].kind is StepKind.LIVE
                right = self._right(problems[number], whole.ids, sample.end)
                records[number].append(RetryRecord(failed + 1, live, right))
        return records

    def _places(self, problem: PosedProblem, answers: Sequence[_Answer]) -> list[PlaceRecord]:
        """Distinct texts that end with a step, with what the model tells there."""
        found: dict[tuple[int, ...], tuple[int, int, bool]] = {}
        for answer in answers:
            for depth, ((start, end), step) in enumerate(zip(answer.spans, answer.steps, strict=True), 1):
                found.setdefault(answer.sample.ids[:end], (start, depth, step.kind is not StepKind.LIVE))
        chosen = [
            (ids, *told)
            for kind in (True, False)
            for ids, told in [each for each in found.items() if each[1][2] is kind][:PLACES]
        ]
        if not chosen:
            return []
        finished = [FinishedStep((*problem.prompt, *ids[:start]), ids[start:]) for ids, start, _, _ in chosen]
        read = step_signals(self.network, finished)
        signals = {"likelihood": read.surprise.tolist(), "entropy": read.entropy.tolist()}
        texts = [ids for ids, *_ in chosen]
        if self.edits:
            contexts = [(*problem.prompt, *ids) for ids in texts]
            emission = edit_emission(self.network, contexts, self.cutter.space.vocab)
            signals["edit"] = list(emission.probability)
        if self.question is not None:
            scorer = VerdictScorer(self.network, self.cutter.tokenizer)
            asked = [Response((*ids, *self.question)) for ids in texts]
            signals["verdict"] = [-score for score in scorer.score(problem.prompt, asked)]
        return [
            PlaceRecord(
                depth,
                dead,
                {name: values[n] for name, values in signals.items()},
                [round(value, 5) for value in read.hidden[n].tolist()],
            )
            for n, (_, _, depth, dead) in enumerate(chosen)
        ]


def question_ids(tokenizer: Any, text: str) -> list[int] | None:
    """Return the ids of a verdict prompt, None if the tokenizer has no verdicts."""
    from halluc_plugin.scorers.verdicts import RIGHT, WRONG, verdict_id

    try:
        for verdict in (RIGHT, WRONG):
            verdict_id(tokenizer, verdict)
    except TokenizerError:
        return None
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    if "".join(tokenizer.decode(ids).split()) != "".join(text.split()):  # blanks differ among tokenizers
        raise TokenizerError(
            f"The tokenizer cannot write the verdict prompt {text!r}.",
            "Give --verdict-prompt in words that it knows.",
        )
    return ids
