"""Compute when it pays to go back: the threshold on the belief, by what going back costs.

A policy has written a step and sees a signal x of whether it is right: x is normal with deviation 1, with
mean 0 behind a wrong step and d behind a right one (d is the detectability, and its area under the curve
is Phi(d / sqrt 2)). With a share e of wrong steps its belief b = P(right | x) has the odds (1 - e)/e
exp(d x - d^2/2). It may keep the step, which is worth S if it is right (the stakes: the reward, times the
chance that all else is right), or go back, which costs c (edits and the step that is written again) and
starts afresh.

Let W be the worth of a fresh attempt. Keeping is worth S b, going back W - c, so W = E max(S b, W - c).
With the threshold b* = (W - c)/S this is the equation of optimal search (McCall 1970, Weitzman 1979, from
memory)

    E (b - b*)^+ = c / S                 go back exactly if b < b*

whose left side falls strictly from E b = 1 - e at b* = 0 to 0 at b* = 1. So b* falls with the cost and
rises with the stakes; it does not depend on how often one went back before; and for c >= S (1 - e) nobody
should go back, however sure the error. All x above x* = (logit b* - logit(1 - e) + d^2/2)/d are kept,
hence with the normal distribution function Phi

    recall r = Phi(x*)    false alarm f = Phi(x* - d)    W = [S (1 - e)(1 - f) - c ((1 - e) f + e r)] / k

with k = (1 - e)(1 - f) + e (1 - r), which holds for every threshold, and is greatest at x*, where it is S
b* + c.

The usual statement (section 3.3 of the notes: go back if and only if the expected reward of going back is
greater) is true, and is the definition of an optimal policy: it gives no threshold. The list in front of
it is wrong: an optimal policy does not have precision and recall near 1. At any price its recall is below
1 unless the signal is perfect, and falls to 0 as the cost grows; at no price it goes back until the
signal is as good as it gets, with precision near e.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from halluc_plugin.errors import SettingsError
from halluc_plugin.theory.estimates import check_samples


@dataclass(frozen=True)
class Stopping:
    """A step that may be taken back at a price.

    Args:
        error: Share of wrong attempts, e.
        cost: Price of going back, c, in units of reward.
        detectability: Distance d of the signal's means behind wrong and right steps, in deviations.
        stakes: What a right step is worth, S.

    Raises:
        SettingsError: ``error`` is not between 0 and 1, or another number is not above 0.
    """

    error: float
    cost: float
    detectability: float = 2.0
    stakes: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.error < 1:
            raise SettingsError(f"error = {self.error}.", "Pass a number between 0 and 1.")
        for name in ("cost", "detectability", "stakes"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} = {getattr(self, name)}.", "Pass a number above 0.")

    @cached_property
    def threshold(self) -> float:
        """The belief below which going back pays, b*; 0 if it never does."""
        wanted = self.cost / self.stakes
        if wanted >= 1 - self.error:
            return 0.0
        low, high = 0.0, 1.0
        while high - low > 1e-13:
            middle = (low + high) / 2
            low, high = (middle, high) if self._excess(middle) > wanted else (low, middle)
        return low

    def _excess(self, belief: float) -> float:
        """E (b - belief)^+."""
        recall, alarm = self.rates(belief)
        right, wrong = (1 - self.error) * (1 - alarm), self.error * (1 - recall)
        return right - belief * (right + wrong)

    def cut(self, belief: float) -> float:
        """Return the signal at which the belief has this value."""
        if not 0 < belief < 1:
            return -math.inf if belief <= 0 else math.inf
        odds = math.log(belief / (1 - belief)) - math.log((1 - self.error) / self.error)
        return (odds + self.detectability**2 / 2) / self.detectability

    def rates(self, belief: float) -> tuple[float, float]:
        """Return recall and false alarm of going back below this belief."""
        cut = self.cut(belief)
        return _phi(cut), _phi(cut - self.detectability)

    def worth(self, belief: float) -> float:
        """Return the expected net reward of a fresh attempt, going back below this belief, W."""
        recall, alarm = self.rates(belief)
        kept_right, kept_wrong = (1 - self.error) * (1 - alarm), self.error * (1 - recall)
        kept = kept_right + kept_wrong
        return (self.stakes * kept_right - self.cost * (1 - kept)) / kept


def _phi(x: float) -> float:
    """The normal distribution function, exact far out, too."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def simulate_stopping(
    stopping: Stopping, belief: float, samples: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Write, look and go back below a belief, attempt by attempt; no formula for worth is used.

    Args:
        stopping: The step and its price.
        belief: The threshold of the policy, which need not be the best.
        samples: Number of runs.
        rng: Source of randomness.

    Returns:
        The net reward of each run, Double[samples].

    Raises:
        SettingsError: ``samples`` is below 2.
    """
    check_samples(samples)
    net, pending = np.zeros(samples), np.arange(samples)
    prior = (1 - stopping.error) / stopping.error
    while pending.size:
        right = rng.random(pending.size) >= stopping.error
        signal = rng.normal(size=pending.size) + stopping.detectability * right
        odds = prior * np.exp(stopping.detectability * signal - stopping.detectability**2 / 2)
        back = odds / (1 + odds) < belief
        net[pending] += np.where(back, -stopping.cost, stopping.stakes * right)
        pending = pending[back]
    return net
