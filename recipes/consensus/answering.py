"""Answer held-out problems within budgets of sampled tokens: alone, by a vote, by a choice, in a debate."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from halluc_plugin.recipes.consensus.models import Models, Trained
from halluc_plugin.recipes.rivals.answering import Drawn, affordable
from halluc_plugin.sampling.costs import cost_of
from halluc_plugin.sampling.driver import run
from halluc_plugin.sampling.independent import samples_that_end
from halluc_plugin.sampling.networks import load_network
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.states import Request, Response, Sample
from halluc_plugin.scorers.consistency import ConsistencyScorer
from halluc_plugin.scorers.rollouts import judge_of
from halluc_plugin.search.answers import canonical
from halluc_plugin.search.debating import after, debating, resolved
from halluc_plugin.search.selection import Rule, select

Samples = Sequence[tuple[Request, Sample]]


class Arm(StrEnum):
    """How a problem is answered."""

    ONE = "one answer"
    MAJORITY = "self-consistency"
    """A majority vote (arXiv 2203.11171)."""
    UNIVERSAL = "universal self-consistency"
    """The model reads its answers and chooses (arXiv 2311.17311)."""
    DEBATE = "debate"
    """Copies read one another's answers (arXiv 2305.14325), for a vote."""
    MACA = "MACA, self-consistency"
    """A vote of the model that was trained on consensus."""
    MACA_DEBATE = "MACA, debate"

    @property
    def trained(self) -> Trained:
        """The model that answers."""
        return Trained.MACA if self in {Arm.MACA, Arm.MACA_DEBATE} else Trained.READER


@dataclass(frozen=True)
class Taken:
    """What a budget pays for.

    Attributes:
        answers: The answers to select from.
        samples: The samples that were taken, in order.
        tokens: Number of their tokens, within the budget.
    """

    answers: list[Response]
    samples: Samples
    tokens: int


def measure(models: Models, arm: Arm) -> dict[str, Any]:
    """Return what an arm's answers come to.

    Returns:
        ``spent``, the tokens of training, and ``budgets``, by sampled tokens in lengths of the longest
        answer: ``correct``, 0 or 1 of each problem, and the means over problems of ``tokens``, those sampled
        within the budget, ``samples``, and ``slots``, the positions that were computed.
    """
    asked, debates = models.asked, arm in {Arm.DEBATE, Arm.MACA_DEBATE}
    drawn = (
        debated(models, arm.trained, asked) if debates else independent_samples(models, arm.trained, asked)
    )
    found = {}
    for budget in models.scale.budgets:
        most = budget * models.longest
        take = [_rounds(models, of, most) if debates else _first(models, arm, of, most) for of in drawn]
        found[str(budget)] = _judged(models, arm, asked, take)
    return {"spent": models.spent(arm.trained), "budgets": found}


def independent_samples(models: Models, what: Trained, asked: Sequence[PosedProblem]) -> list[Samples]:
    """Return samples of each problem, so many that the largest budget is spent.

    Args:
        models: The models of a seed.
        what: The model that answers.
        asked: The problems.
    """
    sampler, most = models.sampler_of(models.model(what), salt=3), max(models.scale.budgets)
    found: list[list[tuple[Request, Sample]]] = [[] for _ in asked]
    while left := [n for n, of in enumerate(found) if _tokens(of) < most * models.longest]:
        prompts = [asked[n].prompt for n in left]
        searches = [samples_that_end(prompt, models.clean_space, most) for prompt in prompts]
        for n, result in zip(left, run(searches, prompts, sampler), strict=True):
            found[n] += result.samples
    return [*found]


def debated(models: Models, what: Trained, asked: Sequence[PosedProblem]) -> list[Samples]:
    """Return the samples of a debate on each problem, with a round more than the largest budget pays for.

    Args:
        models: The models of a seed.
        what: The model whose copies debate.
        asked: The problems.
    """
    scale, prompts = models.scale, [problem.prompt for problem in asked]
    rounds = max(scale.budgets) // scale.copies + 1
    searches = [debating(p, models.clean_space, scale.copies, rounds, models.request) for p in prompts]
    found = run(searches, prompts, models.sampler_of(models.model(what), salt=4))
    return [result.samples for result in found]


def _first(models: Models, arm: Arm, samples: Samples, most: int) -> Taken:
    """Independent samples in order; one that the budget cuts off has no answer."""
    left = [resolved(sample, models.clean_space) for _, sample in samples]
    drawn = [Drawn(answer, len(s.ids)) for answer, (_, s) in zip(left, samples, strict=True)]
    kept = affordable(drawn, most)[: 1 if arm is Arm.ONE else None]
    answers = [each.answer for each in kept if each.answer is not None]
    return Taken(answers, samples[: len(kept)], sum(each.tokens for each in kept))


def _rounds(models: Models, samples: Samples, most: int) -> Taken:
    """Whole rounds; of a first one that the budget does not pay for, the first samples."""
    copies, whole = models.scale.copies, 0
    while _tokens(samples[: whole + copies]) <= most and whole < len(samples):
        whole += copies
    if not whole:
        return _first(models, Arm.DEBATE, samples[:copies], most)
    answers: list[Response | None] = [None] * copies
    for at in range(0, whole, copies):
        answers = after(answers, [sample for _, sample in samples[at : at + copies]], models.clean_space)
    taken = samples[:whole]
    return Taken([answer for answer in answers if answer is not None], taken, _tokens(taken))


def _judged(
    models: Models, arm: Arm, asked: Sequence[PosedProblem], taken: Sequence[Taken]
) -> dict[str, Any]:
    network = load_network(str(models.model(arm.trained))) if arm is Arm.UNIVERSAL else None
    correct, slots = [], 0
    for problem, of in zip(asked, taken, strict=True):
        answers, rule, score = of.answers, Rule.MAJORITY, None
        if network is not None and answers:
            scorer, rule = ConsistencyScorer(network, models.request), Rule.UNIVERSAL
            answers = answers[: models.scale.shown]
            score = _behind(scorer, problem)
            slots += scorer.cost(problem.prompt, answers).slots
        chosen = select(answers, rule, canonical(problem, models.tokenizer), score)
        correct.append(int(chosen is not None and judge_of(problem, models.tokenizer)(chosen.ids)))
        slots += cost_of(problem.prompt, of.samples).slots
    count = len(asked)
    return {
        "correct": correct,
        "tokens": sum(of.tokens for of in taken) / count,
        "samples": sum(len(of.samples) for of in taken) / count,
        "slots": slots / count,
    }


def _behind(scorer: ConsistencyScorer, problem: PosedProblem) -> Any:
    return lambda answers: scorer.score(problem.prompt, answers)


def _tokens(samples: Samples) -> int:
    return sum(len(sample.ids) for _, sample in samples)
