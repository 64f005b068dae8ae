"""Sample answers of each arm until a budget of tokens is spent, select among them, and judge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.edits import Context, collapse
from halluc_plugin.problem_sets.steps import StepSplit
from halluc_plugin.recipes.prm_backtracking.models import TOGETHER
from halluc_plugin.recipes.revise import models as revise
from halluc_plugin.recipes.revise.measuring import chains_of
from halluc_plugin.recipes.rivals import erasing
from halluc_plugin.recipes.rivals.models import Arm, Models
from halluc_plugin.rl.rollout_reader import RolloutReader
from halluc_plugin.rl.turn_rollouts import attempts
from halluc_plugin.sampling.driver import run
from halluc_plugin.sampling.networks import load_network
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.states import Response
from halluc_plugin.scorers.rollouts import judge_of
from halluc_plugin.search.answers import canonical
from halluc_plugin.search.refining import refining
from halluc_plugin.search.selection import Rule, select
from halluc_plugin.settings import load

ROOM = 8
"""An answer that takes back may be so many times as long as one that does not."""
ERASING = {
    Arm.SOFT: Context.SOFT,
    Arm.HARD: Context.HARD,
    Arm.ANEW: Context.SOFT,
    Arm.DPO: Context.SOFT,
}
"""The arms that take back by the token, and what they see."""
ONE, MAJORITY, BEST = "clean, one answer", "clean, majority", "clean, best of N"
CLEAN = {ONE: None, MAJORITY: Rule.MAJORITY, BEST: Rule.MEAN_LOGPROB}
"""How answers of the clean model are selected; None takes the first."""


@dataclass(frozen=True)
class Drawn:
    """One sample.

    Attributes:
        answer: What is left of it; None if it has no end.
        tokens: Number of sampled tokens.
    """

    answer: Response | None
    tokens: int


def measure(models: Models, arm: Arm) -> dict[str, dict[str, Any]]:
    """Return what an arm's answers come to, by how they are selected.

    Returns:
        For each name of a selection the keys ``spent``, the tokens of training, and ``budgets``, by sampled
        tokens in lengths of the longest answer without edits: ``correct``, 0 or 1 of each problem, and the
        means over problems of ``tokens``, those sampled within the budget, and ``samples``.
    """
    asked = models.posed(StepSplit.TEST)
    drawn = sampled(models, arm, asked)
    spent = erasing.spent(models) if arm in erasing.SIGNALS else models.spent(arm)
    voted = Rule.CONFIDENCE if arm is Arm.REVISE else Rule.MAJORITY
    rules = CLEAN if arm is Arm.CLEAN else {str(arm): voted}
    return {
        name: {
            "spent": spent,
            "budgets": {
                str(budget): _within(drawn, asked, budget * models.longest, rule, models.tokenizer)
                for budget in models.scale.budgets
            },
        }
        for name, rule in rules.items()
    }


def _within(
    drawn: Sequence[Sequence[Drawn]],
    asked: Sequence[PosedProblem],
    budget: float,
    rule: Rule | None,
    tokenizer: Any,
) -> dict[str, Any]:
    correct, tokens, samples = [], 0, 0
    for problem, of in zip(asked, drawn, strict=True):
        kept = affordable(of, budget)[: 1 if rule is None else None]
        tokens, samples = tokens + sum(each.tokens for each in kept), samples + len(kept)
        answers = [each.answer for each in kept if each.answer is not None]
        chosen = select(answers, rule or Rule.MEAN_LOGPROB, canonical(problem, tokenizer))
        correct.append(int(chosen is not None and judge_of(problem, tokenizer)(chosen.ids)))
    count = len(asked)
    return {"correct": correct, "tokens": tokens / count, "samples": samples / count}


def affordable(drawn: Sequence[Drawn], budget: float) -> list[Drawn]:
    """Return the first samples that a budget pays for; one that it cuts off has no answer, and is the last.

    Args:
        drawn: The samples of a problem, in order.
        budget: The tokens that may be sampled.
    """
    kept: list[Drawn] = []
    left = budget
    for each in drawn:
        if left < 1:
            break
        kept.append(each if each.tokens <= left else Drawn(None, int(left)))
        left -= each.tokens
    return kept


def sampled(models: Models, arm: Arm, asked: Sequence[PosedProblem]) -> list[list[Drawn]]:
    """Return samples of an arm's model for each problem, so many that the largest budget is spent.

    Args:
        models: The models of a seed.
        arm: The arm.
        asked: The problems.
    """
    network = load_network(str(models.model(arm)))
    draw: dict[Arm, Callable[..., list[Drawn]]] = {Arm.REVISE: _refined, Arm.SCORE: _in_turns}
    most = max(models.scale.budgets) * models.longest
    found: list[list[Drawn]] = [[] for _ in asked]
    for turn in range(most):
        # Who has spent the largest budget is not asked again.
        left = [n for n, of in enumerate(found) if sum(each.tokens for each in of) < most]
        if not left:
            break
        for at in range(0, len(left), TOGETHER):
            part = left[at : at + TOGETHER]
            some = [asked[n] for n in part]
            seed = 1000 * models.seed + 100_000 * (turn + 1) + at
            for n, each in zip(part, draw.get(arm, _decoded)(models, arm, network, some, seed), strict=True):
                found[n].append(each)
    return found


def _decoded(models: Models, arm: Arm, network: Any, asked: Sequence[PosedProblem], seed: int) -> list[Drawn]:
    edits = arm in ERASING or arm in erasing.SIGNALS
    room = models.longest * (ROOM if edits or arm is Arm.TEXT else 1)
    how = Decoding(
        models.vocab, room, context=ERASING.get(arm, Context.SOFT), budget=None if edits else 0,
        eos_ids=models.clean_space.eos_ids,
    )  # fmt: skip
    if arm in erasing.SIGNALS:
        how = replace(
            how,
            context=Context.HARD,
            trigger=erasing.trigger(models, arm),
            delimiters=models.clean_space.delimiters,
        )
    generator = torch.Generator(network.device).manual_seed(seed)
    traces = decode(network, [problem.prompt for problem in asked], how, generator=generator)
    return [_drawn(models, arm, trace.ids, trace.logprobs) for trace in traces]


def _drawn(models: Models, arm: Arm, ids: Sequence[int], logprobs: Sequence[float]) -> Drawn:
    read = list(ids)
    if arm is Arm.TEXT:  # a mark deletes as the token would: the edit semantics read it
        assert models.vocab.step is not None
        read = [models.vocab.step if token == models.mark else token for token in read]
    live = tuple(collapse(read, models.vocab))
    ended = bool(live) and live[-1] in models.clean_space.eos_ids
    mean = sum(logprobs) / len(logprobs)
    return Drawn(Response(live, (mean,) * len(live)) if ended else None, len(ids))


def _refined(models: Models, arm: Arm, network: Any, asked: Sequence[PosedProblem], seed: int) -> list[Drawn]:
    del arm, network  # its own models load it
    space = models.revising.space()
    sampler = models.revising.sampler(revise.Arm.REVISE, space, 0)
    sampler.reseed(seed)
    prompts = [problem.prompt for problem in asked]
    searches = [refining(prompt, space, 1, models.revising.scale.rounds) for prompt in prompts]
    found = run(searches, prompts, sampler)
    chains = [
        chains_of(of, prompt, models.revising.restart)[0] for of, prompt in zip(found, prompts, strict=True)
    ]
    return [Drawn(chain.answer, chain.tokens) for chain in chains]


def _in_turns(
    models: Models, arm: Arm, network: Any, asked: Sequence[PosedProblem], seed: int
) -> list[Drawn]:
    del arm
    reader = RolloutReader.of(models.tokenizer, load({}))
    how = replace(models.scoring.grpo(1), seed=seed)
    firsts, seconds = attempts(network, asked, models.scoring.request, how, reader, step=1)
    return [
        replace(_drawn(models, Arm.SCORE, second.ids, second.logprobs), tokens=len(first.ids + second.ids))
        for first, second in zip(firsts, seconds, strict=True)
    ]
