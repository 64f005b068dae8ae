"""Compute the error-recovery law: how often a chain of checked steps is right, and what that costs.

The chain: An answer has L steps, written one after the other. An attempt at a step is wrong with probability
e (the error rate). It is then judged once, before the next step: a wrong one is erased with probability r
(the recall), a right one with probability f (the false alarm). An erased step is attempted afresh, with the
same probabilities; a kept one is never looked at again. The answer is right if every kept step is.

One attempt ends in one of three ways:

    kept right    (1 - e)(1 - f)
    kept wrong    e (1 - r)
    erased        e r + (1 - e) f = 1 - k,    with k = (1 - e)(1 - f) + e (1 - r) the chance of being kept.

Attempts at one step repeat until one is kept: their number is geometric with mean 1/k, and the kept one is
right with probability (1 - e)(1 - f) / k, whatever that number was. Steps are independent, so

    P(right)          = [(1 - e)(1 - f) / k]^L
    E[steps written]  = L / k
    E[actions]        = L (2/k - 1)      with one edit for each erased step.

The law's meaning: Dividing by (1 - e)(1 - f), a step's odds of being wrong fall from e/(1 - e) to e/(1 - e) *
(1 - r)/(1 - f). Checking helps exactly when r > f, and a false alarm costs steps but hardly any accuracy. The
*precision* of the edits does not appear at all.

The usual statement is wrong in two ways. (1) Section 3.2 of the notes gives P(end in a bad state) = e (1 -
r)^j after j "opportunities" to backtrack. It does not depend on the length: at r = 0 it says e, where a chain
without checks is wrong with probability 1 - (1 - e)^L (the notes' own formula, a line before). And it goes to
0 with j, because it forgets that every look has its false alarms: j independent looks at a step act as one
with r' = 1 - (1 - r)^j and f' = 1 - (1 - f)^j, which the law covers, and whose cost grows without limit. (2)
The cost L/k counts steps written; a raw trace holds the edits too, hence E[actions].

Assumptions to check on a model before the law is used: the error is seen at once (a later look also erases
the steps in between), r and f are those of the model's *own* errors, attempts are independent of the erased
ones (hard context without tabu), and rates are equal over steps and problems; where they vary over
problems, the mean of P is not P of the mean rates.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from halluc_plugin.errors import SettingsError
from halluc_plugin.theory.estimates import check_samples, check_share


@dataclass(frozen=True)
class CheckedChain:
    """A chain of steps, each judged once after it is written.

    Args:
        length: Number of steps of the answer, L.
        error: Probability that an attempt at a step is wrong, e.
        recall: Probability that a wrong attempt is erased, r.
        false_alarm: Probability that a right attempt is erased, f = 1 - specificity.

    Raises:
        SettingsError: A probability is outside [0, 1], ``length`` is negative, or no attempt is ever kept.
    """

    length: int
    error: float
    recall: float
    false_alarm: float = 0.0

    def __post_init__(self) -> None:
        for name in ("error", "recall", "false_alarm"):
            check_share(name, getattr(self, name))
        if self.length < 0:
            raise SettingsError(f"A chain of {self.length} steps.", "Pass length >= 0.")
        if self.kept == 0:
            raise SettingsError(
                f"Every attempt of {self} is erased, so the chain never ends.",
                "Lower recall or false_alarm below 1.",
            )

    @property
    def _kept_right(self) -> float:
        return (1 - self.error) * (1 - self.false_alarm)

    @cached_property
    def kept(self) -> float:
        """The probability that an attempt is kept, k."""
        return self._kept_right + self.error * (1 - self.recall)

    @property
    def success(self) -> float:
        """The probability that the whole answer is right."""
        return (self._kept_right / self.kept) ** self.length

    @property
    def written(self) -> float:
        """The expected number of steps written, erased ones included."""
        return self.length / self.kept

    @property
    def actions(self) -> float:
        """The expected number of actions: the steps written and one edit for each erased one."""
        return self.length * (2 / self.kept - 1)


@dataclass(frozen=True)
class ChainRuns:
    """Simulated runs of one chain; every array is Long[samples].

    Attributes:
        length: Number of steps of the answer.
        written: Number of steps written, erased ones included.
        written_wrong: Number of written steps that were wrong.
        final_wrong: Number of wrong steps in the final answer.
    """

    length: int
    written: npt.NDArray[np.int64]
    written_wrong: npt.NDArray[np.int64]
    final_wrong: npt.NDArray[np.int64]

    @property
    def solved(self) -> int:
        """The number of runs that ended with a right answer."""
        return int(np.sum(self.final_wrong == 0))

    @property
    def actions(self) -> npt.NDArray[np.int64]:
        """The number of steps written and edits made in each run."""
        return 2 * self.written - self.length


def simulate_chain(chain: CheckedChain, samples: int, rng: np.random.Generator) -> ChainRuns:
    """Run the chain attempt by attempt; no formula of this module is used.

    Args:
        chain: The chain.
        samples: Number of independent runs.
        rng: Source of randomness.

    Returns:
        The counts of each run.

    Raises:
        SettingsError: ``samples`` is below 2.
    """
    check_samples(samples)
    written, written_wrong, final_wrong = np.zeros((3, samples), dtype=np.int64)
    for _ in range(chain.length):
        pending = np.arange(samples)
        while pending.size:
            wrong = rng.random(pending.size) < chain.error
            erased = rng.random(pending.size) < np.where(wrong, chain.recall, chain.false_alarm)
            written[pending] += 1
            written_wrong[pending] += wrong
            final_wrong[pending] += wrong & ~erased
            pending = pending[erased]
    return ChainRuns(chain.length, written, written_wrong, final_wrong)
