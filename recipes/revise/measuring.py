"""Sample answers that may be refined, select among them, and say what refinements changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from halluc_plugin.recipes.revise.models import Arm, Models
from halluc_plugin.sampling.driver import Found, run
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.states import End, Response, Sample
from halluc_plugin.scorers.rollouts import judge_of
from halluc_plugin.search.answers import canonical
from halluc_plugin.search.refining import refining
from halluc_plugin.search.selection import Rule, select

RULES = (Rule.MAJORITY, Rule.CONFIDENCE)


@dataclass(frozen=True)
class Chain:
    """One sample: its attempts, in order.

    Attributes:
        attempts: The attempts, each with what ended it.
        restart: Id of the restart token; other edits end a sample, too.
    """

    attempts: tuple[Sample, ...]
    restart: int

    @property
    def tokens(self) -> int:
        """Number of sampled tokens."""
        return sum(len(attempt.ids) for attempt in self.attempts)

    @property
    def answer(self) -> Response | None:
        """The last attempt, None if it did not end."""
        last = self.attempts[-1]
        return Response().extended(last) if last.end is End.EOS else None

    @property
    def refined(self) -> bool:
        """Whether the first attempt was restarted."""
        first = self.attempts[0]
        return first.end is End.EDIT and first.ids[-1] == self.restart

    @property
    def finished(self) -> bool:
        """Whether the first attempt is an answer, which was restarted or left."""
        return self.refined or self.attempts[0].end is End.EOS


def chains_of(found: Found, prompt: tuple[int, ...], restart: int) -> list[Chain]:
    """Return the samples of a search by refinements, each with its attempts.

    Args:
        found: What the search found; equal attempts are told apart by their order.
        prompt: Ids of its prompt.
        restart: Id of the restart token.
    """
    behind: dict[tuple[int, ...], list[Sample]] = {}
    for request, sample in found.samples:
        behind.setdefault(request.prefix, []).append(sample)
    chains = []
    for first in behind[prompt]:
        prefix, attempts = prompt + first.ids, [first]
        while attempts[-1].end is End.EDIT and behind.get(prefix):
            attempts.append(behind[prefix].pop(0))
            prefix += attempts[-1].ids
        chains.append(Chain(tuple(attempts), restart))
    return chains


def measure(models: Models, arm: Arm) -> dict[str, Any]:
    """Return what an arm's samples come to, with restarts and with restarts banned.

    Returns:
        ``refined`` and ``banned``, each with ``majority`` and, where restarts may be sampled, ``confidence``
        by number of samples (``correct`` holds 0 or 1 of each problem), and ``tokens`` by number of samples,
        a mean over problems; ``first`` and ``last``, 0 or 1 of each problem's first sample
        before and after refinement; ``decisions``, what :func:`decisions` returns; and ``spent``, the tokens
        of training.
    """
    asked = models.asked
    cell: dict[str, Any] = {"spent": models.tokens(arm)}
    for salt, name in enumerate(("refined", "banned"), start=10):
        space = models.space(banned=name == "banned")
        rounds = 0 if space.edits_banned else models.scale.rounds
        prompts = [problem.prompt for problem in asked]
        searches = [refining(prompt, space, models.scale.samples, rounds) for prompt in prompts]
        found = run(searches, prompts, models.sampler(arm, space, salt))
        chains = [chains_of(of, prompt, models.restart) for of, prompt in zip(found, prompts, strict=True)]
        rules = RULES[:1] if space.edits_banned else RULES
        cell[name] = curves(models, asked, chains, rules)
        if not space.edits_banned:
            cell |= changes(models, asked, chains)
    return cell


def curves(
    models: Models,
    asked: Sequence[PosedProblem],
    chains: Sequence[Sequence[Chain]],
    rules: Sequence[Rule],
) -> dict[str, Any]:
    """Return right answers and tokens by number of samples; see :func:`measure`."""
    told: dict[str, Any] = {str(rule): {} for rule in rules} | {"tokens": {}}
    for count in models.scale.counts:
        told["tokens"][str(count)] = sum(chain.tokens for of in chains for chain in of[:count]) / len(asked)
    for rule, count in product(rules, models.scale.counts):
        right = []
        for problem, of in zip(asked, chains, strict=True):
            answers = [answer for chain in of[:count] if (answer := chain.answer) is not None]
            chosen = select(answers, rule, canonical(problem, models.tokenizer))
            right.append(int(chosen is not None and judge_of(problem, models.tokenizer)(chosen.ids)))
        told[str(rule)][str(count)] = {"correct": right}
    return told


def changes(
    models: Models, asked: Sequence[PosedProblem], chains: Sequence[Sequence[Chain]]
) -> dict[str, Any]:
    """Return the first sample of each problem before and after refinement, and all decisions."""
    eos = int(models.tokenizer.eos_token_id)
    first: dict[str, list[int]] = {"first": [], "last": []}
    told: list[tuple[bool, bool]] = []
    for problem, of in zip(asked, chains, strict=True):
        judge = judge_of(problem, models.tokenizer)
        ended = [chain for chain in of if chain.finished]
        told += [(judge((*chain.attempts[0].ids[:-1], eos)), chain.refined) for chain in ended]
        answer = of[0].answer
        first["first"].append(int(of[0] in ended and judge((*of[0].attempts[0].ids[:-1], eos))))
        first["last"].append(int(answer is not None and judge(answer.ids)))
    return {
        **{name: {"correct": values} for name, values in first.items()},
        "decisions": decisions(told),
    }


def decisions(told: Sequence[tuple[bool, bool]]) -> dict[str, list[int]]:
    """Return how many first attempts were restarted.

    Args:
        told: Whether each finished first attempt was right, and whether it was restarted.

    Returns:
        ``right`` and ``wrong``, each the number of those that were restarted and of all.
    """
    found = {}
    for name, kind in (("right", True), ("wrong", False)):
        restarted = [was for right, was in told if right is kind]
        found[name] = [sum(restarted), len(restarted)]
    return found
