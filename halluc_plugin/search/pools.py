"""Search by stochastic backtracking: a pool of all prefixes, random parts of which compete.

The method is that of D. Tran et al., "Beyond the Frontier: Stochastic Backtracking for Efficient Test-Time
Scaling" (arXiv 2605.25143). A search that keeps only its best prefixes loses, by one wrong value, a prefix
from which a right answer follows. Here no prefix is dropped: each round draws a random part of the pool, and
the best of that part continue. Only the abstract could be read, which says this much of its first method,
Subpool Selection. The rest was decided here:

1. A subpool is a share of the pool, drawn without replacement, with at least as many prefixes as continue.
2. A prefix that continues gets one sampled step, and stays in the pool; equal children are kept once.
3. The bare prompt is in the pool, with its own value, so that a search can start again. In the first round it
   is the only prefix, and as many steps are sampled from it as prefixes continue in later rounds.
4. Answers do not compete. The search ends after its rounds, or when an answer has the value p_des; its result
   is the best answer.

The paper's second method, Power Backtrack Sequential Monte Carlo, is not implemented, as its weights are not
in the abstract.
"""

import math
from dataclasses import dataclass

import numpy as np

from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.states import End, GuidedSearch, Response, Space, wanted
from halluc_plugin.search.guided import RatedResponse, answer_first, draw, rate


@dataclass(frozen=True)
class Pooling:
    """How a pool is searched.

    Args:
        n: Number of prefixes that continue in a round, N.
        rounds: Largest number of rounds.
        share: Share of the pool that competes in a round; 1 is greedy over all prefixes ever written.
        p_des: Final value at which an answer is good enough.
        seed: Seed of the subpools.

    Raises:
        SettingsError: A value is out of range.
    """

    n: int = 4
    rounds: int = 32
    share: float = 0.5
    p_des: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n < 1 or self.rounds < 1:
            raise SettingsError(f"n is {self.n} and rounds {self.rounds}.", "Give at least 1 of both.")
        if not 0 < self.share <= 1 or not 0 <= self.p_des <= 1:
            raise SettingsError(
                f"The share is {self.share} and p_des {self.p_des}.",
                "Give a share above 0 and at most 1, and a probability, in [0, 1].",
            )


def stochastic_backtracking(prompt: tuple[int, ...], space: Space, plan: Pooling) -> GuidedSearch:
    """Search one problem by Subpool Selection.

    Args:
        prompt: Token ids of the prompt.
        space: The space in which the search samples; a step that an edit or the length cuts off is dropped.
        plan: How the pool is searched.

    Returns:
        The search; it finds the answer of greatest value first.
    """
    rng = np.random.default_rng([plan.seed, *prompt])
    pool: dict[tuple[int, ...], tuple[Response, float]] = {(): (Response(), 0.0)}
    found: list[RatedResponse] = []
    for turn in range(plan.rounds):
        states = _selected(list(pool.values()), plan, rng)
        if turn == 0:
            states *= plan.n
        samples = yield from draw([wanted(prompt, state, space, steps=True) for state in states])
        children = {
            child.ids: child
            for child, end in (
                (state.extended(sample), sample.end) for state, sample in zip(states, samples, strict=True)
            )
            if end is End.EOS or (end is End.STEP and len(child.ids) < space.max_tokens)
        }
        rated = yield from rate(prompt, list(children.values()), space)
        for one in rated:
            pool[()] = (Response(), one.values[0])
            if one.finished:
                found.append(one)
            else:
                pool.setdefault(one.response.ids, (one.response, one.final))
        if any(one.worth >= plan.p_des for one in found):
            break
    return answer_first(max(found, key=lambda one: one.worth), found) if found else []


def _selected(pool: list[tuple[Response, float]], plan: Pooling, rng: np.random.Generator) -> list[Response]:
    size = min(len(pool), max(plan.n, math.ceil(plan.share * len(pool))))
    drawn = [pool[i] for i in rng.permutation(len(pool))[:size]]
    return [response for response, _ in sorted(drawn, key=lambda one: -one[1])[: plan.n]]
