"""Compare retries at a wrong digit with sampling whole answers again, on the mod-10 task.

This is the didactic task of the paper on backtracking by a process reward model (OpenReview hJ2BCYGvFg): an
answer counts in L digits, a_t = t mod 10. At K hard positions the policy writes the right digit with
probability p, elsewhere always (the paper: L = 1500, hard where t = 6 mod 10, p = 0.05). The paper counts
samples, 20 for each hard position by step revision; here a wrong digit is seen at once and erased by one
backtrack, so that a wrong attempt costs two actions: the digit and the backtrack. Nothing else is assumed
about detection; for imperfect recall and false alarms see :mod:`.recovery`.

Best of N: a whole answer is right with probability p^K, one of N with 1 - (1 - p^K)^N; sampling until one is
right takes L p^-K tokens on average, exponential in the length.

Retries cost E[actions] = L + 2 K m, linear in the length, with m the mean number of wrong attempts at a hard
position. It depends on what the policy knows of its failures:

    memoryless   m = (1 - p)/p = 1/p - 1     hard context: each attempt is as the first, geometric
    soft         m = (1 - p)/q               the erased digit stays in view; retries are right with chance q
    tabu         m = sum_i w_i/(w_i + p)     erased digits are banned there; w_i = P(wrong digit i)

Whole suffixes: a search that rewrites the answer from its first wrong digit on, and keeps the better answer,
samples the rest of the answer at each attempt. With hard positions t_k, counted from 0, it costs

    E[tokens] = L + (1/p - 1) sum_k (L - t_k),

which is 2.1 million in the paper's setting: linear in samples (150 times 20), but quadratic in the length in
tokens.

Soft: the first attempt fails with probability 1 - p; each later one succeeds with chance q, so 1/q - 1 more
fail. Tabu: digits are drawn without replacement until the right one. Give each digit an exponential clock
with its probability as rate: the order in which the clocks ring is the order of the draws, and wrong digit
i rings before the right one with probability w_i/(w_i + p). Since x/(x + p) is concave, m is largest when
the wrong mass is spread evenly over n digits,

    m = n (1 - p)/(n p + 1 - p)      (n = 9, p = 0.05: 6.1),

and smallest, 1 - p, when there is a single wrong candidate; with n going to infinity it becomes 1/p - 1,
memoryless.

One short cut, which is neither the paper's nor the notes', is wrong: "Soft or tabu retries cost L + 2 K (1 -
p)" holds only if the second attempt is always right: q = 1 for soft context, a single wrong candidate for
tabu. Neither is a property of the method. With nine equally likely wrong digits tabu costs 3332 actions in
the paper's setting, against 1785 by that formula and 7200 without memory; a soft context that drags the
policy back to its error (q < p) is worse than none.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from halluc_plugin.errors import SettingsError
from halluc_plugin.theory.estimates import check_samples, check_share


class Retry(StrEnum):
    """What an attempt knows of the erased attempts before it."""

    MEMORYLESS = "memoryless"
    """It knows nothing: the context is collapsed."""
    TABU = "tabu"
    """The erased digits are banned at that prefix."""
    SOFT = "soft"
    """The erased digits stay in the context."""


@dataclass(frozen=True)
class Mod10:
    """The task, and the policy on it.

    Args:
        length: Number of digits of the answer, L.
        hard: Number of positions at which the policy may be wrong, K.
        p: Probability that a first attempt at a hard position is right.
        wrong: Relative weight of each wrong digit, by which the wrong mass 1 - p is shared.
        retry_p: Probability q that an attempt is right when erased ones are in view; for :attr:`Retry.SOFT`.

    Raises:
        SettingsError: ``p`` or ``retry_p`` is not in (0, 1], ``hard`` is not in [0, length], or ``wrong``
            is empty or has a weight that is not positive.
    """

    length: int = 1500
    hard: int = 150
    p: float = 0.05
    wrong: tuple[float, ...] = (1.0,) * 9
    retry_p: float = 1.0

    def __post_init__(self) -> None:
        check_share("p", self.p, positive=True)
        check_share("retry_p", self.retry_p, positive=True)
        if not 0 <= self.hard <= self.length:
            raise SettingsError(
                f"{self.hard} hard positions among {self.length}.", "Pass 0 <= hard <= length."
            )
        if not self.wrong or min(self.wrong) <= 0:
            raise SettingsError(
                f"Weights {self.wrong} of the wrong digits.", "Pass one or more, all positive."
            )

    @property
    def log10_sample_success(self) -> float:
        """Decimal logarithm of the probability that one whole answer is right, p^K."""
        return self.hard * math.log10(self.p)

    @property
    def log10_restart_tokens(self) -> float:
        """Decimal logarithm of the expected tokens until one whole answer is right, L p^-K."""
        return math.log10(self.length) - self.log10_sample_success

    def pass_at(self, n: int) -> float:
        """Return the probability that one of ``n`` whole answers is right, 1 - (1 - p^K)^n."""
        success = self.p**self.hard
        # By way of the logarithm: (1 - 1e-195)^n would be rounded to 1.
        return 1.0 if success == 1 else -math.expm1(n * math.log1p(-success))

    @property
    def wrong_shares(self) -> npt.NDArray[np.float64]:
        """The distribution of a wrong first attempt over the wrong digits, Float[len(wrong)]; sums to 1."""
        weights = np.asarray(self.wrong, dtype=np.float64)
        return weights / weights.sum()

    def wrong_attempts(self, retry: Retry) -> float:
        """Return the expected number of wrong attempts at one hard position, m."""
        if retry is Retry.MEMORYLESS:
            return 1 / self.p - 1
        if retry is Retry.SOFT:
            return (1 - self.p) / self.retry_p
        chances = (1 - self.p) * self.wrong_shares
        return float(np.sum(chances / (chances + self.p)))

    def expected_suffix_tokens(self, positions: Sequence[int]) -> float:
        """Return the expected number of tokens of a right answer if each attempt writes the whole suffix.

        Args:
            positions: Positions of the hard digits, counted from 0; the paper's are 6, 16, 26 and so on.

        Raises:
            SettingsError: The number of positions is not K, or one is outside the answer.
        """
        inside = all(0 <= position < self.length for position in positions)
        if len(set(positions)) != self.hard or len(positions) != self.hard or not inside:
            raise SettingsError(
                f"Positions {list(positions)} for {self.hard} hard ones of {self.length}.",
                "Give each once, counted from 0.",
            )
        return self.length + (1 / self.p - 1) * sum(self.length - position for position in positions)

    def expected_tokens(self, retry: Retry) -> float:
        """Return the expected number of actions of one right answer, digits and backtracks: L + 2 K m."""
        return self.length + 2 * self.hard * self.wrong_attempts(retry)


def simulate_tokens(
    task: Mod10, retry: Retry, samples: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Write answers attempt by attempt and count their actions.

    Args:
        task: The task.
        retry: What an attempt knows of the erased attempts.
        samples: Number of answers.
        rng: Source of randomness.

    Returns:
        The number of digits and backtracks of each answer, Long[samples].

    Raises:
        SettingsError: ``samples`` is below 2.
    """
    check_samples(samples)
    actions = np.full(samples, task.length, dtype=np.int64)
    # Column 0 is the right digit.
    first = np.append(task.p, (1 - task.p) * task.wrong_shares)
    for _ in range(task.hard):
        pending, chances = np.arange(samples), np.broadcast_to(first, (samples, len(first)))
        while pending.size:
            digit = _draw(chances, rng)
            failed = digit != 0
            pending = pending[failed]
            actions[pending] += 2
            chances = _after_failure(task, retry, chances[failed], digit[failed])
    return actions


def _draw(chances: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """One column a row, in proportion to that row of Float[n, digits], which need not sum to 1."""
    edges = np.cumsum(chances, axis=1)
    return np.sum(edges <= rng.random((len(chances), 1)) * edges[:, -1:], axis=1)


def _after_failure(
    task: Mod10, retry: Retry, chances: npt.NDArray[np.float64], digit: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    if retry is Retry.MEMORYLESS:
        return chances
    if retry is Retry.TABU:
        banned = chances.copy()
        banned[np.arange(len(digit)), digit] = 0.0
        return banned
    return np.broadcast_to(np.append(task.retry_p, (1 - task.retry_p) * task.wrong_shares), chances.shape)


def simulate_solved(task: Mod10, n: int, samples: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return whether one of ``n`` whole answers is right, in independent trials, Bool[samples].

    Raises:
        SettingsError: ``samples`` is below 2.
    """
    check_samples(samples)
    right = np.empty(samples, dtype=np.bool_)
    for trial in range(samples):
        right[trial] = (rng.random((n, task.hard)) < task.p).all(axis=1).any()
    return right
