"""Compute the measurements of a model before any training on edits, from the records of all problems."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from halluc_plugin.errors import DataError
from halluc_plugin.jobs.assess.records import AnswerRecord, ProblemRecord
from halluc_plugin.metrics import Proportion
from halluc_plugin.metrics.repeated_samples import ProblemSamples, maj_at_k, pass_at_k
from halluc_plugin.verifiers import StepKind


@dataclass(frozen=True)
class StepMeasure:
    """The measurements of one step of answers, by its number.

    Attributes:
        slip: Share of slips among the steps from live text.
        dead: Share of dead ends among the steps from live text.
        tokens: Mean number of tokens.
        dead_branches: Mean number of dead ends that a live state before the step allows; None if unknown.
        live_branches: Mean number of steps that a live state before it allows and that keep the goal within
            reach; None if unknown.
        seen: Share of dead texts of this many steps that show that they are dead; None if the oracle does not
            tell.
        retry: Share of live steps where this step failed and was sampled again from the same good state.
    """

    slip: Proportion
    dead: Proportion
    tokens: float
    dead_branches: float | None
    live_branches: float | None
    seen: Proportion | None
    retry: Proportion


@dataclass(frozen=True)
class Measured:
    """The measurements of the model as it is.

    Attributes:
        problems: Number of problems.
        samples: Number of answers to each problem.
        accuracy: Share of right answers, with an interval over problems.
        unfinished: Share of answers that did not end.
        tokens: Mean number of tokens of an answer.
        prompt_tokens: Mean number of tokens of a prompt.
        pass_at: pass@k by k, the accuracy of best of k with a free check of the goal.
        majority_at: maj@k by k.
        retry_right: Share of right answers among those that continue from the last good state of a wrong one.
        told_apart: Whether the oracle tells slips from dead ends.
        steps: The measurements of each step, by number, up to the length of right answers.
    """

    problems: int
    samples: int
    accuracy: Proportion
    unfinished: Proportion
    tokens: float
    prompt_tokens: float
    pass_at: dict[int, Proportion]
    majority_at: dict[int, Proportion]
    retry_right: Proportion
    told_apart: bool
    steps: list[StepMeasure]


def measure(records: Sequence[ProblemRecord]) -> Measured:
    """Compute the measurements of a model.

    Args:
        records: One record for each problem, all with the same number of answers.

    Raises:
        DataError: The model is always or never right, so no law predicts what taking back would change.
    """
    answers = [answer for record in records for answer in record.answers]
    right = sum(answer.right for answer in answers)
    if right in {0, len(answers)}:
        how = "all" if right else "none"
        raise DataError(
            f"The model is right in {how} of {len(answers)} answers to {len(records)} problems: no law of "
            "taking back applies.",
            "Assess harder problems."
            if right
            else "Assess easier problems, or train it on clean answers first.",
        )
    votes = [
        ProblemSamples(
            tuple(answer.comes_to for answer in record.answers),
            tuple(answer.vote_right for answer in record.answers),
            tuple(answer.tokens for answer in record.answers),
        )
        for record in records
    ]
    solved = [
        ProblemSamples(
            tuple(range(len(record.answers))),
            tuple(answer.right for answer in record.answers),
            tuple(answer.tokens for answer in record.answers),
        )
        for record in records
    ]
    samples = len(records[0].answers)
    per_problem = [[answer.right for answer in record.answers] for record in records]
    return Measured(
        problems=len(records),
        samples=samples,
        accuracy=_clustered(per_problem),
        unfinished=_clustered([[not answer.ended for answer in record.answers] for record in records]),
        tokens=statistics.fmean(answer.tokens for answer in answers),
        prompt_tokens=statistics.fmean(record.prompt_tokens for record in records),
        pass_at={k: pass_at_k(solved, k) for k in range(1, samples + 1)},
        majority_at={k: maj_at_k(votes, k) for k in range(1, samples + 1)},
        retry_right=_clustered([[retry.right for retry in record.retries] for record in records]),
        told_apart=any(step.seen is not None for answer in answers for step in answer.steps),
        steps=[_step(records, depth) for depth in range(1, _length(answers) + 1)],
    )


def _clustered(outcomes: Sequence[Sequence[bool]]) -> Proportion:
    return Proportion.clustered([sum(each) for each in outcomes], [len(each) for each in outcomes])


def _length(answers: Sequence[AnswerRecord]) -> int:
    """Steps that most right answers have."""
    return Counter(len(answer.steps) for answer in answers if answer.right).most_common(1)[0][0]


def _step(records: Sequence[ProblemRecord], depth: int) -> StepMeasure:
    """The step of a number, with the last of dead texts of that many steps."""
    fresh = [
        [
            answer.steps[depth - 1]
            for answer in record.answers
            if len(answer.steps) >= depth
            and all(step.kind is StepKind.LIVE for step in answer.steps[: depth - 1])
        ]
        for record in records
    ]
    there = [
        [answer.steps[depth - 1] for answer in record.answers if len(answer.steps) >= depth]
        for record in records
    ]
    written = [step.tokens for each in there for step in each if step.tokens]
    branches = [step.branches for each in fresh for step in each if step.branches is not None]
    dead = [[step.seen for step in each if step.kind is not StepKind.LIVE] for each in there]
    known = all(seen is not None for each in dead for seen in each)
    retried = [[retry.live for retry in record.retries if retry.depth == depth] for record in records]
    return StepMeasure(
        slip=_clustered([[step.kind is StepKind.SLIP for step in each] for each in fresh]),
        dead=_clustered([[step.kind is StepKind.DEAD for step in each] for each in fresh]),
        tokens=statistics.fmean(written) if written else 1.0,
        dead_branches=statistics.fmean(dead for dead, _ in branches) if branches else None,
        live_branches=statistics.fmean(live for _, live in branches) if branches else None,
        seen=_clustered([[bool(seen) for seen in each] for each in dead]) if known else None,
        retry=_clustered(retried),
    )
