"""Rows of step values as batches: what is held out, what is drawn, what is taught, and each loss by hand."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.data.value_files import ValueRow
from halluc_plugin.errors import DataError
from halluc_plugin.scorers.saved import Objective
from halluc_plugin.training.value_rows import ValueCollator, by_problem, examples, hold_out, losses


def row(prompt, steps, values, correct):
    """Of one task."""
    return ValueRow("halluc/chain", prompt, steps, values, correct)


RIGHT = row([1, 2], [[3], [4, 5]], [0.5, 0.75, 1.0], correct=True)
WRONG = row([1, 2], [[6]], [None, 0.0], correct=False)
OTHER = row([9], [[3]], [0.25, 0.0], correct=False)


@given(st.lists(st.integers(0, 5), min_size=2), st.floats(0.01, 0.99), st.integers(0, 9))
def test_problems_are_held_out_whole(problems, share, seed):
    """No problem is on both sides, no row is lost, and neither side is empty."""
    rows = [
        row([problem, 7], [[number + 8]], [0.5, 1.0], correct=True) for number, problem in enumerate(problems)
    ]
    if len(set(problems)) < 2:
        with pytest.raises(DataError, match="of 1 problems"):
            hold_out(rows, share, seed)
        return
    train, held_out = hold_out(rows, share, seed)
    sides = [{each.prompt_ids[0] for group in side for each in group} for side in (train, held_out)]
    assert all(sides)
    assert not sides[0] & sides[1]
    assert sorted(e.step_ids for side in (train, held_out) for g in side for e in g) == sorted(
        e.step_ids for e in rows
    )


def test_turns_are_rows_of_one_problem():
    """A prompt that goes on behind another one holds earlier turns at it."""
    later = row([1, 2, 3, 4, 5], [[6]], [0.5, 1.0], correct=True)
    groups = by_problem([later, OTHER, RIGHT, WRONG])
    assert sorted(len(group) for group in groups) == [1, 3]


def test_turns_stay_together_without_their_first_turn():
    """Two later turns at a problem whose first turns were left out are of one problem all the same."""
    later = [replace(row([1, 2, turn, 5], [[6]], [0.5, 1.0], correct=True), turn_ids=2) for turn in (3, 4)]
    assert sorted(len(group) for group in by_problem([*later, OTHER])) == [1, 2]


def test_pairs_are_of_one_problem():
    """Each right response is drawn with a wrong one, each at least once; a problem of one kind has none."""
    more = row([1, 2], [[7]], [0.5, 0.0], correct=False)
    pairs = examples([[RIGHT, WRONG, more], [OTHER]], Objective.PAIRWISE)
    assert pairs == [(RIGHT, WRONG), (RIGHT, more)]
    assert examples([[RIGHT, WRONG], [OTHER]], Objective.VALUE) == [(RIGHT,), (WRONG,), (OTHER,)]


@pytest.mark.parametrize(
    ("groups", "objective", "told"),
    [
        ([[WRONG], [OTHER]], Objective.VALUE, "All responses are wrong"),
        ([[RIGHT]], Objective.OUTCOME, "All responses are right"),
        ([[RIGHT], [OTHER]], Objective.PAIRWISE, "No problem has both"),
    ],
)
def test_what_tells_nothing_apart_is_refused(groups, objective, told):
    """Labels of one kind cannot be balanced, and pairs need both kinds."""
    with pytest.raises(DataError, match=told):
        examples(groups, objective)


def test_a_batch():
    """Rows are padded, and what nothing is known of is not taught."""
    batch = ValueCollator(Objective.VALUE, pad_id=0)([(RIGHT,), (WRONG,)])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5], [1, 2, 6, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert batch["ends"].tolist() == [[1, 2, 4], [1, 2, 2]]
    assert batch["labels"].tolist() == [[-100, 0.5, 0.75, 1.0], [-100, -100, 0.0, -100]]
    outcomes = ValueCollator(Objective.OUTCOME, pad_id=0)([(RIGHT,), (WRONG,)])["labels"]
    assert outcomes.tolist() == [[-100, -100, -100, 1.0], [-100, -100, 0.0, -100]]


def model_of(logits):
    """One whose logits are given, whatever it reads."""

    def forward(*, input_ids, attention_mask, use_cache, logits_to_keep=slice(None)):
        assert input_ids.shape == attention_mask.shape
        assert not use_cache
        return SimpleNamespace(logits=logits[:, logits_to_keep])

    return forward


def cross_entropy(logit, target):
    """Of a coin."""
    p = 1 / (1 + math.exp(-logit))
    return -(target * math.log(p) + (1 - target) * math.log(1 - p))


LOGITS = torch.tensor([[0.3, -1.0, 0.5, 2.0, 1.5], [0.1, 0.2, -0.7, 5.0, 5.0]])
DRAWN = {
    Objective.VALUE: cross_entropy(-1.0, 0.5)
    + cross_entropy(0.5, 0.75)
    + cross_entropy(1.5, 1.0)
    + cross_entropy(-0.7, 0.0),
    Objective.OUTCOME: cross_entropy(1.5, 1.0) + cross_entropy(-0.7, 0.0),
}


@pytest.mark.parametrize("objective", DRAWN)
def test_losses_of_a_head(objective):
    """Soft binary cross-entropy, summed over what is taught: every step's end, or the last."""
    batch = ValueCollator(objective, pad_id=0)([(RIGHT,), (WRONG,)])
    found = losses(model_of(LOGITS[..., None]), batch, objective, None)
    assert float(found) == pytest.approx(DRAWN[objective], abs=1e-5)


def test_the_loss_of_pairs():
    """-log σ of the difference of mean Q over the ids of the right and of the wrong response."""
    batch = ValueCollator(Objective.PAIRWISE, pad_id=0)([(RIGHT, WRONG)])
    found = losses(model_of(LOGITS[..., None]), batch, Objective.PAIRWISE, None)
    difference = (0.5 + 2.0 + 1.5) / 3 - (-0.7)
    assert float(found) == pytest.approx(-math.log(1 / (1 + math.exp(-difference))), abs=1e-5)


def test_the_loss_of_verdicts():
    """Soft cross-entropy over the whole vocabulary, of the id behind each prefix of known value."""
    logits = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    batch = ValueCollator(Objective.VERDICT, pad_id=0)([(RIGHT,), (WRONG,)])
    found = losses(model_of(logits), batch, Objective.VERDICT, (2, 3))
    said = logits.log_softmax(-1)
    expected = 0.0
    for place, column, target in ((0, 1, 0.5), (0, 2, 0.75), (0, 4, 1.0), (1, 2, 0.0)):
        expected -= float(target * said[place, column, 3] + (1 - target) * said[place, column, 2])
    assert float(found) == pytest.approx(expected, abs=1e-5)
