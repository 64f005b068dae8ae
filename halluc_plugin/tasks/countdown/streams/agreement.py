"""Compare streams by the states that they visit and the problems that they solve (arXiv 2404.03683, 4)."""

import statistics
from collections.abc import Collection, Sequence

from halluc_plugin.errors import SettingsError
from halluc_plugin.tasks.countdown.streams.lines import Numbers


def state_alignment(one: Collection[Numbers], other: Collection[Numbers]) -> float:
    """Return the share of states that two streams have in common, of the larger number of states.

    Args:
        one: The states that a stream wrote without an error (:attr:`.reading.Stream.states`).
        other: Those of another stream to the same problem.

    Raises:
        SettingsError: A stream has no states; the root is always one.
    """
    if not one or not other:
        raise SettingsError("A stream has no states.", "Give the states that `read_stream` finds.")
    return len(set(one) & set(other)) / max(len(set(one)), len(set(other)))


def correctness_correlation(one: Sequence[bool], other: Sequence[bool]) -> float:
    """Return Pearson's correlation of which problems two ways to search solve, nan if one solves all or none.

    Args:
        one: Whether each problem is solved, Bool[N].
        other: The same of another way, Bool[N].

    Raises:
        SettingsError: The numbers of problems differ, or there are fewer than two.
    """
    if len(one) != len(other) or len(one) < 2:
        raise SettingsError(f"{len(one)} and {len(other)} problems.", "Give the same two problems at least.")
    if len(set(one)) == 1 or len(set(other)) == 1:
        return float("nan")
    return statistics.correlation([float(solved) for solved in one], [float(solved) for solved in other])


def rating(explored: int, numbers: int) -> float:
    """Return the paper's rating of a right stream: 1 less the share of the whole tree that it explored.

    Args:
        explored: Number of equations that it tried.
        numbers: Number of numbers of the problem; three have at most 48 leaves of the tree, four 1152.
    """
    most = 1
    for left in range(2, numbers + 1):
        most *= left * (left - 1) // 2 * 4
    return max(0.0, 1 - (explored + 1) / most)
