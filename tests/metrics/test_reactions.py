"""Reactions to labelled steps: the first event that reaches them decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.edits import EditVocab, collapse
from halluc_plugin.errors import MetricError
from halluc_plugin.metrics import (
    LabelledSteps,
    Localisation,
    Reaction,
    event_precision,
    event_recall,
    judge_reaction,
    localisation,
)

B, STEP, END = 9, 8, 7
VOCAB = EditVocab(backtrack=B, step=STEP, step_delimiters=frozenset({END}))
WRONG = LabelledSteps((1, 2, END, 3, 4, END), 3)  # the second step is wrong
RIGHT = LabelledSteps((1, 2, END), 3)


@pytest.mark.parametrize(
    ("steps", "sampled", "reaction", "right"),
    [
        (WRONG, [], Reaction.KEPT, False),
        (WRONG, [5, 6], Reaction.KEPT, False),
        (WRONG, [B, B, B, 3, 5], Reaction.EXACT, True),
        (WRONG, [B, B, 5], Reaction.UNDER, False),
        (WRONG, [B, B, B, B], Reaction.OVER, False),
        (WRONG, [5, B, 6, B, B, B, B], Reaction.EXACT, True),  # its own text first, then the step
        (WRONG, [5, B, 6], Reaction.KEPT, False),  # only its own text
        (WRONG, [B, 4, B, B, B], Reaction.UNDER, False),  # the first event decides
        (WRONG, [STEP], Reaction.EXACT, True),
        (WRONG, [5, 6, STEP], Reaction.KEPT, False),
        (RIGHT, [], Reaction.KEPT, True),
        (RIGHT, [5, B, 6], Reaction.KEPT, True),
        (RIGHT, [B], Reaction.OVER, False),
        (RIGHT, [5, B, B], Reaction.OVER, False),
    ],
)
def test_reactions_by_hand(steps, sampled, reaction, right):
    """Where the first event that erases a given token lands, and whether that was called for."""
    judged = judge_reaction(steps, sampled, VOCAB)
    assert (judged.reaction, judged.right) == (reaction, right)


def test_metrics_of_events_by_hand():
    """Precision counts events after a wrong step, recall wrong steps that were left, localisation where."""
    sampled = [(WRONG, [B, B, B]), (WRONG, [B]), (WRONG, [6]), (RIGHT, [5, B, B]), (RIGHT, [5, B])]
    traces = [judge_reaction(steps, ids, VOCAB).trace for steps, ids in sampled]
    precision, recall, shares = event_precision(traces), event_recall(traces), localisation(traces).shares
    assert (precision.value, precision.n) == (pytest.approx(2 / 3), 3)
    assert (recall.value, recall.n) == (pytest.approx(1 / 3), 3)
    assert [shares[kind].value for kind in (Localisation.UNDER, Localisation.EXACT)] == [0.5, 0.5]


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=6),
    st.integers(0, 6),
    st.lists(st.sampled_from([1, 2, B, B]), max_size=12),
)
def test_the_plain_stack_agrees(ids, num_good, sampled):
    """Action after action, the first run of edits that leaves fewer tokens than were given decides."""
    steps = LabelledSteps(tuple(ids), min(num_good, len(ids)))
    expected = Reaction.KEPT
    for at in range(len(sampled)):
        run_ends = sampled[at] == B and (at + 1 == len(sampled) or sampled[at + 1] != B)
        depth = len(collapse([*ids, *sampled[: at + 1]], VOCAB))
        if run_ends and depth < len(ids):
            over, exact = depth < steps.num_good, depth == steps.num_good
            expected = Reaction.OVER if over else Reaction.EXACT if exact else Reaction.UNDER
            break
    assert judge_reaction(steps, sampled, VOCAB).reaction is expected


@pytest.mark.parametrize(("ids", "num_good"), [((), 0), ((1, 2), 3), ((1, 2), -1)])
def test_impossible_labels_are_refused(ids, num_good):
    """No token, or more good tokens than there are."""
    with pytest.raises(MetricError, match="said to be good"):
        LabelledSteps(ids, num_good)
