"""Values of prefixes: each distinct prefix is read once and paid for once, whoever reads it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.errors import DataError
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.scorers import prefixes
from halluc_plugin.scorers.prefixes import Prefixes, PrefixScorer, batches, prefixes_of

SHAPE = DecoderShape(hidden=2, kv=2, intermediate=3, layers=1)
STEP = st.lists(st.integers(0, 2), min_size=1, max_size=3)
ROWS = st.lists(st.tuples(STEP, st.lists(STEP, max_size=4)), max_size=8)


def oracle(ids, ends):
    """A value that depends on the ids of a prefix and on how it is cut."""
    return [(hash((ids[:end], tuple(e for e in ends if e <= end))) % 1000) / 1000 for end in ends]


class Reader:
    """Answers by the oracle, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def values(self, rows):
        """The oracle's."""
        self.asked += rows
        return [oracle(row.ids, row.ends) for row in rows]


@given(st.lists(ROWS, max_size=3))
def test_values_are_those_of_reading_each_response_alone(calls):
    """Sharing and remembering prefixes changes no value, and nothing is read that another row begins with."""
    reader = Reader()
    scorer = PrefixScorer(reader, SHAPE)
    for rows in calls:
        before = len(reader.asked)
        values = scorer.score([prompt for prompt, _ in rows], [steps for _, steps in rows])
        for row, (prompt, steps) in enumerate(rows):
            (whole,) = prefixes_of([prompt], [steps])
            expected = oracle(whole.ids, whole.ends)
            assert values[row, : len(expected)].tolist() == pytest.approx(expected)
            assert all(math.isnan(value) for value in values[row, len(expected) :].tolist())
        new = reader.asked[before:]
        for row in new:
            others = [other for other in new if other is not row]
            assert not any(
                other.ends[: len(row.ends)] == row.ends and other.ids[: len(row.ids)] == row.ids
                for other in others
            )


def test_a_prefix_is_paid_for_once():
    """The first response pays for all its ids, the next for what is new, an equal one for nothing.

    Later calls find what earlier ones computed. Costs count the attention to everything before.
    """
    scorer = PrefixScorer(Reader(), SHAPE)
    first, second, third = scorer.rate([[1, 2]] * 3, [[[3], [4, 5]], [[3], [6]], [[3], [6]]]).spent
    assert [spent.scorer_tokens for spent in (first, second, third)] == [5, 1, 0]
    assert first.flops == SHAPE.flops(5, 15)
    assert second.flops == SHAPE.flops(1, 4)
    assert third.flops == 0
    (later,) = scorer.rate([[1, 2]], [[[3], [6], [7, 8]]]).spent
    assert (later.scorer_tokens, later.flops) == (2, SHAPE.flops(2, 4 * 2 + 3))


def test_how_a_prefix_is_cut_tells_prefixes_apart():
    """Equal ids in other steps are read again: a value may be that of the last step."""
    reader = Reader()
    scorer = PrefixScorer(reader, None)
    scorer.score([[1], [1]], [[[2, 3]], [[2], [3]]])
    assert [row.ends for row in reader.asked] == [(1, 3), (1, 2, 3)]


def test_the_oldest_values_are_forgotten(monkeypatch):
    """A forgotten prefix is read and paid for again, with the same value."""
    monkeypatch.setattr(prefixes, "REMEMBERED", 2)
    scorer = PrefixScorer(Reader(), SHAPE)
    once = scorer.rate([[1]], [[[2], [3]]])
    again = scorer.rate([[1]], [[[2], [3]]])
    assert again.spent == once.spent
    assert torch.equal(again.values, once.values)


@pytest.mark.parametrize(
    ("prompts", "steps", "told"),
    [
        ([[1]], [], "1 prompts for 0 responses"),
        ([[]], [[[1]]], "The prompt of response 0 is empty"),
        ([[1], [1]], [[[2]], [[2], []]], "Step 2 of response 1 is empty"),
    ],
)
def test_what_has_no_values_is_refused(prompts, steps, told):
    """A prompt or a step without ids ends nowhere."""
    with pytest.raises(DataError, match=told):
        PrefixScorer(Reader(), None).rate(prompts, steps)


@given(st.lists(STEP, min_size=1, max_size=6), st.integers(1, 12))
def test_batches_hold_every_row_once(rows, tokens):
    """Each row comes once, whole and marked, in passes of at most so many ids, or of a row alone."""
    model = torch.nn.Linear(1, 1)
    model.device = torch.device("cpu")
    given_rows = [Prefixes((0, *row), (1, 1 + len(row))) for row in rows]
    seen = []
    for numbers, batch in batches(given_rows, model, tokens):
        assert batch.ids.numel() <= tokens or len(batch.ids) == 1
        for number, ids, mask, last in zip(numbers, batch.ids, batch.mask, batch.last, strict=True):
            assert tuple(ids[mask.bool()].tolist()) == given_rows[number].ids
            assert [column + 1 for column in last.tolist()] == list(given_rows[number].ends)
            seen.append(number)
    assert sorted(seen) == list(range(len(rows)))
