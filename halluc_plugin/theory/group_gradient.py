"""Compute what dividing by the group's deviation does to the expected policy gradient.

Rewards are 0 or 1, right with probability p; a group has G answers, k of them right; advantages are (R -
mean)/deviation with the unbiased deviation sqrt(k (G - k)/(G (G - 1))), 0 for groups without contrast.
The score of an answer, given that it is right, has mean grad p / p, given that it is wrong - grad p / (1
- p). So the mean over the group of advantage times score is, exactly,

    w_G(p) grad p,    w_G(p) = E[ sqrt(k (G - k)(G - 1)/G^3) ] / (p (1 - p)),    k binomial (G, p)

and without the division (1 - 1/G) grad p. w_G tends to 1/sqrt(p (1 - p)) for large groups.

Theorem 3 of the notes says that the normalised advantage gives unbiased gradients with variance at most 1
+ O(epsilon). The first half is refuted: w_G depends on p, so a gradient over several prompts is that of
another objective, in which hard and easy prompts count more (for large groups that of 2 arcsin sqrt p,
since its derivative is 1/sqrt(p (1 - p))); what is unbiased, up to the factor 1 - 1/G, is the advantage
that is not divided. The second half is true, and better than stated: squares of a group's advantages sum
to G - 1 or 0, so

    Var A = (1 - 1/G)(1 - p^G - (1 - p)^G) <= 1 - 1/G.

It says nothing of the gradient, whose variance is that of scores.
"""

import math

import numpy as np
import numpy.typing as npt

from halluc_plugin.errors import SettingsError
from halluc_plugin.theory.estimates import check_samples, check_share


def gradient_weight(right: float, group: int) -> float:
    """Return w_G(p), the factor of grad p in the expected gradient with division by the deviation.

    Args:
        right: Probability of a right answer, p, above 0 and below 1.
        group: Number of answers, G, at least 2.

    Raises:
        SettingsError: The probability is 0 or 1, or the group has fewer than two answers.
    """
    _check(right, group)
    total = 0.0
    for k in range(1, group):
        ways = math.lgamma(group + 1) - math.lgamma(k + 1) - math.lgamma(group - k + 1)
        chance = math.exp(ways + k * math.log(right) + (group - k) * math.log1p(-right))
        total += chance * math.sqrt(k * (group - k) * (group - 1) / group**3)
    return total / (right * (1 - right))


def advantage_variance(right: float, group: int) -> float:
    """Return the variance of a normalised advantage, at most 1 - 1/G.

    Args:
        right: Probability of a right answer, p, above 0 and below 1.
        group: Number of answers, G, at least 2.

    Raises:
        SettingsError: The probability is 0 or 1, or the group has fewer than two answers.
    """
    _check(right, group)
    return (1 - 1 / group) * (1 - right**group - (1 - right) ** group)


def _check(right: float, group: int) -> None:
    check_share("right", right, positive=True)
    if right == 1 or group < 2:
        raise SettingsError(
            f"A group of {group} answers, right with {right}, has no contrast.",
            "Pass a probability below 1 and a group of at least 2.",
        )


def simulate_groups(
    right: float, group: int, samples: int, rng: np.random.Generator, *, divide: bool = True
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Sample groups of a policy with one logit, p = 1/(1 + exp(-logit)), and form their gradients.

    Args:
        right: Probability of a right answer, p.
        group: Number of answers of a group.
        samples: Number of groups.
        rng: Source of randomness.
        divide: Whether advantages are divided by the deviation.

    Returns:
        The mean of advantage times score of each group over dp/dlogit = p (1 - p), Double[samples], whose
        expectation is the weight; and the mean square of its advantages, Double[samples].

    Raises:
        SettingsError: ``samples`` is below 2.
    """
    check_samples(samples)
    rewards = (rng.random((samples, group)) < right).astype(float)
    advantages = rewards - rewards.mean(1, keepdims=True)
    if divide:
        deviation = rewards.std(1, ddof=1, keepdims=True)
        advantages = np.divide(advantages, deviation, out=np.zeros_like(advantages), where=deviation > 0)
    scores = rewards - right  # of the logit
    return (advantages * scores).mean(1) / (right * (1 - right)), (advantages**2).mean(1)
