"""Find a shortest edit script between two sequences.

This is the greedy algorithm of E. W. Myers, "An O(ND) Difference Algorithm and Its Variations", Algorithmica
1 (1986) 251, section 4. (The standard library's difflib finds long matches first, and its scripts are not
shortest.)
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple


class Block(NamedTuple):
    """Unmatched ``sample[sample_start:sample_end]`` and ``reference[reference_start:reference_end]``."""

    sample_start: int
    sample_end: int
    reference_start: int
    reference_end: int


def unmatched_blocks(sample: Sequence[Hashable], reference: Sequence[Hashable]) -> list[Block]:
    """Return the blocks in which two sequences differ, in order.

    The elements between the blocks are a longest common subsequence. Among the shortest scripts the result is
    one with the deviations as late as possible: a block that takes from the sample never begins with the
    element that the reference has there.

    Args:
        sample: A sequence of N elements.
        reference: A sequence of M elements.

    Returns:
        The blocks, none of them empty on both sides, in time O((N + M) D) and memory O(D²) for D differences.
    """
    blocks = []
    i = j = 0
    for i_match, j_match in [*_leftmost(sample, reference), (len(sample), len(reference))]:
        if (i, j) != (i_match, j_match):
            blocks.append(Block(i, i_match, j, j_match))
        i, j = i_match + 1, j_match + 1
    return blocks


def _leftmost(sample: Sequence[Hashable], reference: Sequence[Hashable]) -> list[tuple[int, int]]:
    """A longest common subsequence as index pairs, each sample index as small as possible.

    In a repeat (sample "aab", reference "ab") a script may delete either "a". Only the second deviates from
    the reference when read from the left.
    """
    pairs, i = [], 0
    for j in _matched_in_reference(sample, reference):
        while sample[i] != reference[j]:
            i += 1
        pairs.append((i, j))
        i += 1
    return pairs


def _matched_in_reference(sample: Sequence[Hashable], reference: Sequence[Hashable]) -> list[int]:
    """Reference indices of a longest common subsequence, ascending."""
    n, m = len(sample), len(reference)
    # reach[k]: how far into the sample a path with d differences gets on diagonal k = x - y. Negative k index
    # from the end of the list. history[d] holds the diagonals -d..d as they were before round d.
    reach = [0] * (2 * (n + m) + 3)
    history: list[list[int]] = []
    for d in range(n + m + 1):
        history.append([reach[k] for k in range(-d - 1, d + 2)])
        for k in range(-d, d + 1, 2):
            x = reach[k + 1] if _goes_down(reach[k - 1], reach[k + 1], k, d) else reach[k - 1] + 1
            while x < n and x - k < m and sample[x] == reference[x - k]:
                x += 1
            reach[k] = x
            if k == n - m and x >= n:
                return _walk_back(history, n, m)
    raise AssertionError("n + m differences always suffice")


def _goes_down(left: int, right: int, k: int, d: int) -> bool:
    """Whether the best path to diagonal k comes from k + 1 (an insertion) rather than from k - 1."""
    return k == -d or (k != d and left < right)


def _walk_back(history: list[list[int]], x: int, y: int) -> list[int]:
    matched = []
    for d in range(len(history) - 1, -1, -1):
        k = x - y
        left, right = history[d][k + d], history[d][k + d + 2]  # diagonals k - 1 and k + 1
        down = _goes_down(left, right, k, d)
        entry = right if down else left + 1  # sample index where this round's run of matches begins
        while x > max(entry, 0) and y > 0:
            x, y = x - 1, y - 1
            matched.append(y)
        x, y = (x, y - 1) if down else (x - 1, y)
    return matched[::-1]
