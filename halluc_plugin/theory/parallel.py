"""Compute what majority and best-of-n make of independent samples.

Answers to one problem have the right result with probability p, and wrong results with probabilities w_1,
w_2, ... The others have no result and abstain.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from halluc_plugin.errors import SettingsError
from halluc_plugin.theory.estimates import check_share


def best_of(right: float, samples: int) -> float:
    """Return the probability that one of n samples is right, 1 - (1 - p)^n.

    This is the accuracy of n samples with a free check of the goal.

    Args:
        right: The probability p that a sample is right.
        samples: The number of samples n.
    """
    check_share("right", right)
    return float(1 - (1 - right) ** samples)


def majority(right: float, wrong: Sequence[float], samples: int) -> float:
    """Return the probability that the most frequent result of n samples is right; ties are shared.

    It is a sum over a multinomial: with j votes for the right result, n! p^j/j! times the coefficient of the
    other n - j votes in the product of Σ_{c ≤ j} (w_i x)^c / c!, where each way to c = j for t of them counts
    1/(1 + t).

    Args:
        right: The probability p of the right result.
        wrong: The probabilities w_1, w_2, ... of the wrong results.
        samples: The number of samples n, at least 1.

    Raises:
        SettingsError: A probability is out of range, they add to more than 1, or n is below 1.
    """
    nothing = 1 - right - math.fsum(wrong)
    if samples < 1 or min(right, nothing + 1e-9, *wrong, 0.0) < 0:
        raise SettingsError(
            f"{samples} votes with probabilities {right} and {list(wrong)}.",
            "Pass 1 vote at least, and probabilities that add to at most 1.",
        )
    nothing = max(0.0, nothing)
    won = 0.0
    for votes in range(1, samples + 1):
        rest = samples - votes
        # ways[size, ties]: of the votes that the wrong answers take, n! left out.
        ways = np.zeros((rest + 1, rest // votes + 1))
        ways[0, 0] = 1.0
        for share in wrong:
            updated = np.zeros_like(ways)
            for taken in range(min(votes, rest) + 1):
                weight = share**taken / math.factorial(taken)
                tie = int(taken == votes)
                updated[taken:, tie:] += weight * ways[: rest + 1 - taken, : ways.shape[1] - tie]
            ways = updated
        shared = ways @ (1 / np.arange(1, ways.shape[1] + 1))
        abstained = [nothing ** (rest - size) / math.factorial(rest - size) for size in range(rest + 1)]
        won += right**votes / math.factorial(votes) * float(shared @ abstained)
    return min(1.0, won * math.factorial(samples))


def at_tokens(worth: Callable[[int], float], samples: float) -> float:
    """Return the accuracy of samples at equal cost, interpolated between whole numbers of samples.

    Below one sample it is that of one.

    Args:
        worth: Function that returns the accuracy of n samples.
        samples: Number of tokens of the compared method, divided by those of one sample.
    """
    samples = max(1.0, samples)
    low = math.floor(samples)
    return worth(low) if low == samples else worth(low) + (samples - low) * (worth(low + 1) - worth(low))
