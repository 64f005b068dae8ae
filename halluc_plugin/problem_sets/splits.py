"""Decide which split a problem belongs to, from the problem and the seed alone.

Splits therefore stay disjoint however many problems are drawn, and in whatever order.
"""

from collections.abc import Iterable


def is_set_aside(values: Iterable[int], seed: int) -> bool:
    """Return whether a problem belongs to the tenth that is kept for testing.

    Args:
        values: Integers of at least 0 that identify the problem.
        seed: Seed of the data set, at least 0.
    """
    # A multiplicative hash: independent of the order of draws, and the same on every machine.
    mixed = seed + 1
    for value in values:
        mixed = (mixed * 1_000_003 + value) % (1 << 61)
    mixed = (mixed * 0x9E3779B97F4A7C15) % (1 << 64)
    return (mixed >> 40) % 10 == 0
