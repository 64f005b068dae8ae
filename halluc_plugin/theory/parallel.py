"""Answers beside one another: what majority and best-of-n make of samples that know nothing of each other.

The answers of one problem come to the right one with probability p, and to wrong ones with probabilities
w_1, w_2, ...; what is left over comes to nothing, and abstains.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from halluc_plugin.errors import SettingsError
from halluc_plugin.theory.estimates import check_share


def best_of(right: float, samples: int) -> float:
    """P(one of n samples is right), what n samples are worth with a free check of the goal: 1 - (1 - p)^n."""
    check_share("right", right)
    return float(1 - (1 - right) ** samples)


def majority(right: float, wrong: Sequence[float], samples: int) -> float:
    """P(the answer that most of n samples come to is right); of equals each wins as often.

    A multinomial: with j votes for the right answer, n! p^j/j! times the coefficient of the other n - j votes
    in the product of Σ_{c ≤ j} (w_i x)^c / c!, each way to c = j for t of them counted 1/(1 + t).

    Args:
        right: p.
        wrong: w_1, w_2, ...
        samples: n, at least 1.

    Raises:
        SettingsError: The probabilities are none, or n is below 1.
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
    """What as many samples are worth as cost the same, between whole numbers by a line; below 1 one sample.

    Args:
        worth: Of n samples.
        samples: Tokens of what is compared, divided by those of a sample.
    """
    samples = max(1.0, samples)
    low = math.floor(samples)
    return worth(low) if low == samples else worth(low) + (samples - low) * (worth(low + 1) - worth(low))
