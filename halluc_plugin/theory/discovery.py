"""Compute how many answers it takes until a rare success is sampled at all, directly and by a curriculum.

Reinforcement learning learns nothing of a decision before it was sampled. A token that is sampled with
probability q where it matters, in a state that an answer reaches with probability rho, is first sampled
in its place after 1/(rho q) answers on average (a geometric number). An answer that is right only if k
decisions in a row are, each sampled right with probability q before anything was learnt, is first right
after

    direct                            q^-k answers
    from states near the goal         sum over i < k of 1/(q s^i) answers

where stage i + 1 starts i + 1 decisions from the end and the i behind its first are taken right with
probability s each (learnt in the stages before); their sum is k/q for s = 1.

Section 5.3 of the notes: ~|S||A|/((1 - gamma)^4 eps^2) samples, so one token more is negligible next to V
= 32,000. Mended: as an upper bound with access to every state it holds, and is loose (the exponent is 3:
Azar et al. 2013, from memory). What it is used for does not follow. Policy gradients have no such access;
a token that is as likely as any other at first needs V/rho answers until it is tried once in its place,
which is linear in V, and its cost does not depend on |A| but on q: from q = 0.05 it is 20/rho, whatever
V. And |S| is not the same: in soft context a state is a raw trace, and there are (V + 1)^T in place of
V^T.

Section 6.2: N_curriculum <= N_direct (1 - (k - 1)/k p_transfer). Refuted: p_transfer is not defined, and
even with all of it (p_transfer = 1, s = 1) the left side is k q^(k - 1) N_direct and the right side
N_direct/k. That fails where k^2 q^(k - 1) > 1 (three decisions at q = 1/2: 6 answers against 2.7), and is
exponentially too high where success is rare, which is where a curriculum is for. Stages that teach what
must be unlearnt cost more than no stages (:mod:`.convergence`).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from halluc_plugin.errors import SettingsError
from halluc_plugin.theory.estimates import check_samples, check_share


def tries_until_sampled(reached: float, sampled: float) -> float:
    """Return the expected number of answers until a token is sampled where it matters, 1/(rho q).

    Args:
        reached: Probability that an answer reaches the state, rho.
        sampled: Probability of the token there, q.

    Raises:
        SettingsError: A probability is not above 0 and at most 1.
    """
    check_share("reached", reached, positive=True)
    check_share("sampled", sampled, positive=True)
    return 1 / (reached * sampled)


@dataclass(frozen=True)
class Decisions:
    """An answer that is right if k decisions in a row are.

    Args:
        count: Number of decisions, k, at least 1.
        guess: Probability that a decision is right before it was learnt, q.
        skill: Probability that a decision is right after it was learnt, s.

    Raises:
        SettingsError: A probability is not above 0 and at most 1, or there is not a decision.
    """

    count: int
    guess: float
    skill: float = 1.0

    def __post_init__(self) -> None:
        check_share("guess", self.guess, positive=True)
        check_share("skill", self.skill, positive=True)
        if self.count < 1:
            raise SettingsError(f"An answer of {self.count} decisions.", "Pass at least 1.")

    @property
    def direct(self) -> float:
        """The expected number of answers until one is right, without a curriculum."""
        return self.guess**-self.count

    @property
    def staged(self) -> float:
        """The expected number of answers until each stage, from the goal backwards, has one right answer."""
        return sum(1 / (self.guess * self.skill**behind) for behind in range(self.count))

    def usual_bound(self, transfer: float) -> float:
        """Return what the notes' section 6.2 says of the staged number, for k stages."""
        return self.direct * (1 - (self.count - 1) / self.count * transfer)


def simulate_tries(
    decisions: Decisions, samples: int, rng: np.random.Generator, *, staged: bool
) -> npt.NDArray[np.int64]:
    """Sample answers until one is right, decision by decision; in stages, until each stage has one.

    Args:
        decisions: The answer.
        samples: Number of runs.
        rng: Source of randomness.
        staged: Whether stages start near the goal.

    Returns:
        The number of answers of each run, Long[samples].

    Raises:
        SettingsError: ``samples`` is below 2.
    """
    check_samples(samples)
    tries = np.zeros(samples, dtype=np.int64)
    guess, skill, count = decisions.guess, decisions.skill, decisions.count
    stages = [[guess, *[skill] * behind] for behind in range(count)] if staged else [[guess] * count]
    for chances in stages:
        pending = np.arange(samples)
        while pending.size:
            tries[pending] += 1
            right = (rng.random((pending.size, len(chances))) < chances).all(1)
            pending = pending[~right]
    return tries


def simulate_first_token(
    reached: float, sampled: float, samples: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Sample answers until the token was sampled in its state, answer by answer.

    Args:
        reached: Probability that an answer reaches the state.
        sampled: Probability of the token there.
        samples: Number of runs.
        rng: Source of randomness.

    Returns:
        The number of answers of each run, Long[samples].

    Raises:
        SettingsError: ``samples`` is below 2.
    """
    check_samples(samples)
    tries, pending = np.zeros(samples, dtype=np.int64), np.arange(samples)
    while pending.size:
        tries[pending] += 1
        there = rng.random(pending.size) < reached
        pending = pending[~(there & (rng.random(pending.size) < sampled))]
    return tries
