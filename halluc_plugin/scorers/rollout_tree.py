"""Choose which wrong response of a problem is searched for its first error next: OmegaPRM's tree as a pool.

The method is that of L. Luo et al., "Improve Mathematical Reasoning in Language Models by Automated Process
Supervision" (arXiv 2406.06592, section 3.3). Each binary search continues prefixes, and the responses that it
samples can be searched in turn, from where they were sampled: errors after mostly right steps come first.

Deviations:

1. L, the length by which rollouts are discounted, is that of the longest answer allowed, not 500.
2. A response that was found from two prefixes is searched once.
3. A continuation that does not end counts in MC(s), and is not searched.
"""

import math
from bisect import bisect_right
from collections.abc import Collection, Generator

from halluc_plugin.sampling.states import Request, Sample
from halluc_plugin.scorers.rollouts import Prefix, Rollout, Rollouts, State, step_prefixes

ALPHA, BETA, EXPLORATION = 0.5, 0.9, 0.125
"""The constants of the paper: preference for states that succeed, preference for short rollouts, and
c_puct."""

Searching = Generator[list[Request], list[Sample], list[Rollout]]


def search_errors(rollouts: Rollouts, n: int, searches: int) -> Searching:
    """Find the first errors of wrong responses, one binary search after the other.

    Args:
        rollouts: The rollouts of a problem whose bare prompt has been continued.
        n: Number of continuations of a prefix.
        searches: Largest number of binary searches.

    Returns:
        The responses that were searched, in order; none if the policy is never or always right.
    """
    done: list[Rollout] = []
    while len(done) < searches:
        chosen = select(rollouts, {rollout.ids for rollout in done})
        if chosen is None:
            break
        rollouts.states[chosen.ids[: chosen.start]].visits += 1
        prefixes = step_prefixes(rollouts.space.steps(chosen.ids))
        low = bisect_right([len(prefix) for prefix in prefixes], chosen.start) - 1
        yield from rollouts.first_error(prefixes, n, low)
        done.append(chosen)
    return done


def select(rollouts: Rollouts, searched: Collection[Prefix]) -> Rollout | None:
    """Return the wrong rollout with the largest Q(s, r) + U(s), the first among equals.

    A rollout is a candidate if its state s succeeds sometimes and not always: 0 < MC(s) < 1. The result is
    None if there is none.

    Args:
        rollouts: The rollouts of a problem.
        searched: Responses that have been searched.
    """
    visits = sum(state.visits for state in rollouts.states.values())

    def worth(rollout: Rollout) -> float:
        state = rollouts.states[rollout.ids[: rollout.start]]
        length = len(rollout.ids) - rollout.start
        return value(state, length, rollouts.space.max_tokens) + exploration(state, visits)

    candidates = [
        rollout
        for rollout in rollouts.found
        if not rollout.right
        and rollout.ids not in searched
        and rollouts.states[rollout.ids[: rollout.start]].value > 0
    ]
    return max(candidates, key=worth, default=None)


def value(state: State, length: int, longest: int) -> float:
    """Return Q(s, r) = α^(1 - MC(s)) β^(len(r) / L), equation 2 of the paper.

    Args:
        state: The state s from which the rollout was sampled.
        length: Number of tokens of the rollout, len(r).
        longest: Largest number of tokens of an answer, L.
    """
    return float(ALPHA ** (1 - state.value) * BETA ** (length / longest))


def exploration(state: State, visits: int) -> float:
    """Return U(s) = c √(Σ N) / (1 + N(s)), equation 3 of the paper.

    Args:
        state: The state s.
        visits: Number of visits of all states, Σ N.
    """
    return EXPLORATION * math.sqrt(visits) / (1 + state.visits)
