"""First answers of a policy to the problems that are searched, and what the oracle says of their steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from halluc_plugin.problem_sets.steps import StepSplit
from halluc_plugin.recipes.prm_backtracking.models import Models
from halluc_plugin.sampling.driver import run
from halluc_plugin.sampling.independent import independent
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.states import Response
from halluc_plugin.scorers.monte_carlo import MonteCarloScorer
from halluc_plugin.scorers.rollouts import judge_of
from halluc_plugin.scorers.steps import Spent, Steps, StepScores

ANSWERS = 2
"""Samples of a problem: the first that ends is revised, another is the earlier turn that a scorer sees."""


@dataclass(frozen=True)
class First:
    """A problem with the policy's answers.

    Attributes:
        problem: The problem.
        answer: Its first answer that ends, without log-probabilities.
        other: Another one; the same where there is none.
        correct: Whether the first is right.
        values: The oracle's: of the bare prompt, and behind each step, the share of right continuations.
        rollout_tokens: That this took.
        rollout_flops: Forward cost of these tokens.
    """

    problem: PosedProblem
    answer: Response
    other: Response
    correct: bool
    values: tuple[float, ...]
    rollout_tokens: int
    rollout_flops: int

    def right(self, tokenizer: Any) -> Callable[[Response], bool]:
        """Return a judge of answers to the problem."""
        judge = judge_of(self.problem, tokenizer)
        return lambda response: judge(response.ids)


def first_answers(models: Models) -> list[First]:
    """Sample and rate the first answers once; problems without an answer that ends are left out."""
    posed = models.problems.posed(StepSplit.TEST, models.scale.asked)
    kept = models.cell("first", partial(_measure, models, posed))
    return [
        First(
            posed[row["problem"]], Response(tuple(row["answer"])), Response(tuple(row["other"])),
            row["correct"], tuple(row["values"]), row["tokens"], row["flops"],
        )
        for row in kept["answers"]
    ]  # fmt: skip


def _measure(models: Models, posed: Sequence[PosedProblem]) -> dict[str, Any]:
    prompts = [problem.prompt for problem in posed]
    searches = [independent(prompt, models.space, ANSWERS) for prompt in prompts]
    found = run(searches, prompts, models.sampler(3))
    ended = [number for number, of in enumerate(found) if of.responses]
    tokenizer, space = models.problems.tokenizer, models.space
    oracle = MonteCarloScorer(
        models.sampler(4), space, posed, tokenizer,
        continuations=models.scale.rollouts, shape=models.shape,
    )  # fmt: skip
    answers = [found[number].responses[0] for number in ended]
    steps = [space.steps(answer.ids) for answer in answers]
    rated = oracle.rate([prompts[number] for number in ended], steps)
    rows = []
    for number, answer, cut, values, spent in zip(
        ended, answers, steps, rated.values.tolist(), rated.spent, strict=True
    ):
        right = judge_of(posed[number], tokenizer)
        rows.append(
            {
                "problem": number,
                "answer": list(answer.ids),
                "other": list(found[number].responses[-1].ids),
                "correct": right(answer.ids),
                "values": values[: len(cut) + 1],
                "tokens": spent.policy_tokens,
                "flops": spent.flops,
            }
        )
    judged = [judge_of(p, tokenizer)(r.ids) for p, of in zip(posed, found, strict=True) for r in of.responses]
    asked = ANSWERS * len(posed)
    return {"asked": asked, "ended": len(judged), "right": sum(judged), "answers": rows}


class Outcomes:
    """Rates first answers by the oracle's values that are known, and others by whether they are right.

    Under ``better=final`` Algorithm 1 reads nothing else: of a new answer its final value, and where that is
    1 it ends; a wrong one never stays, and its steps are never compared. So the search is that of an oracle
    that samples rollouts at all steps of all answers, at the cost of the first answer's.

    Args:
        firsts: First answers.
        tokenizer: The tokenizer of the answers.
    """

    def __init__(self, firsts: Sequence[First], tokenizer: Any) -> None:
        self._known = {(first.problem.prompt, first.answer.ids): first.values for first in firsts}
        self._judges = {first.problem.prompt: judge_of(first.problem, tokenizer) for first in firsts}

    def rate(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> StepScores:
        """Return the values of whole answers; those of inner steps of new ones are 0."""
        rows = [self._of(tuple(p), s) for p, s in zip(prompts, steps, strict=True)]
        values = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(row) for row in rows], batch_first=True, padding_value=torch.nan
        )
        return StepScores(values, [Spent()] * len(rows))

    def score(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> torch.Tensor:
        """Return the values alone."""
        return self.rate(prompts, steps).values

    def _of(self, prompt: tuple[int, ...], steps: Steps) -> list[float]:
        ids = tuple(token for step in steps for token in step)
        known = self._known.get((prompt, ids))
        if known is not None:
            return list(known)
        return [0.0] * len(steps) + [float(self._judges[prompt](ids))]
