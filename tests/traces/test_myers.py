"""The diff is a shortest one, checked against a quadratic-time table."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.traces import Block, unmatched_blocks

sequences = st.lists(st.integers(0, 3), max_size=14)


def lcs_length(a, b):
    """Length of a longest common subsequence by the textbook recursion."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@given(sequences, sequences)
def test_what_is_left_between_blocks_matches_and_is_longest(sample, reference):
    """Outside the blocks both sides are equal, and as long as a longest common subsequence."""
    blocks = unmatched_blocks(sample, reference)
    kept_sample = [
        x for i, x in enumerate(sample) if not any(b.sample_start <= i < b.sample_end for b in blocks)
    ]
    kept_reference = [
        x
        for j, x in enumerate(reference)
        if not any(b.reference_start <= j < b.reference_end for b in blocks)
    ]
    assert kept_sample == kept_reference
    assert len(kept_sample) == lcs_length(sample, reference)


@given(sequences, sequences)
def test_blocks_are_maximal_and_in_order(sample, reference):
    """Blocks are not empty, ascend, and have at least one match between them."""
    blocks = unmatched_blocks(sample, reference)
    assert all(b.sample_end > b.sample_start or b.reference_end > b.reference_start for b in blocks)
    for a, b in pairwise(blocks):
        assert b.sample_start - a.sample_end == b.reference_start - a.reference_end > 0


@given(sequences, sequences)
def test_a_deviation_never_begins_with_the_expected_element(sample, reference):
    """The first element of an unmatched span is not the one that the reference has there."""
    for block in unmatched_blocks(sample, reference):
        if block.sample_end > block.sample_start and block.reference_start < len(reference):
            assert sample[block.sample_start] != reference[block.reference_start]


@pytest.mark.parametrize(
    ("sample", "reference", "blocks"),
    [
        ("", "", []),
        ("abc", "abc", []),
        ("", "ab", [Block(0, 0, 0, 2)]),
        ("ab", "", [Block(0, 2, 0, 0)]),
        ("aab", "ab", [Block(1, 2, 1, 1)]),
        ("axc", "abc", [Block(1, 2, 1, 2)]),
        ("abx", "ab", [Block(2, 3, 2, 2)]),
    ],
)
def test_small_cases(sample, reference, blocks):
    """Insertions, deletions and repeats give the blocks a reader would mark."""
    assert unmatched_blocks(sample, reference) == blocks


def test_the_papers_example():
    """Myers's own example, ABCABBA against CBABAC, has a common subsequence of 4 elements."""
    blocks = unmatched_blocks("ABCABBA", "CBABAC")
    assert 7 - sum(b.sample_end - b.sample_start for b in blocks) == 4
