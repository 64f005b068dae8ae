"""Advantages of answers and of single actions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.credit import (
    EventValue,
    event_credit,
    group_relative,
    prefix_tree_values,
    spread,
    turn_against,
)
from halluc_plugin.edits import EditVocab, collapse, events, resolve, resolve_row
from halluc_plugin.errors import TraceError


def test_hand_computed_group():
    """Rewards 1, 2, 3 of one prompt have mean 2 and unbiased deviation 1."""
    advantages = group_relative(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 0, 0]), epsilon=0.0)
    assert advantages.tolist() == [-1.0, 0.0, 1.0]


def test_without_normalisation():
    """Dr. GRPO subtracts each group's mean only; an answer alone keeps its reward."""
    rewards = torch.tensor([1.0, 5.0, 4.0, 0.0])
    advantages = group_relative(rewards, torch.tensor([0, 1, 0, 0]), normalize_by_std=False)
    torch.testing.assert_close(advantages, torch.tensor([-2 / 3, 5.0, 7 / 3, -5 / 3]))


def test_equal_rewards_give_exactly_nothing():
    """A group without contrast teaches nothing, not even rounding noise blown up by the deviation."""
    rewards = torch.full((8,), 0.1)
    assert group_relative(rewards, torch.zeros(8, dtype=torch.long)).abs().max() == 0


def test_credit_is_added_after_normalisation():
    """A token's own credit is not divided by the group's deviation, and masked tokens get nothing."""
    mask = torch.tensor([[True, False, True], [True, True, False]])
    credit = torch.tensor([[0.5, 9.0, 0.0], [0.0, -1.0, 9.0]])
    per_token = spread(torch.tensor([2.0, -1.0]), mask, credit)
    assert per_token.tolist() == [[2.5, 0.0, 2.0], [-1.0, -2.0, 0.0]]
    assert spread(torch.tensor([2.0, -1.0]), mask).tolist() == [[2.0, 0.0, 2.0], [-1.0, -1.0, 0.0]]


def test_no_answers():
    """An empty batch is fine."""
    assert group_relative(torch.zeros(0), torch.zeros(0, dtype=torch.long)).shape == (0,)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_broken_reward_stops_the_step(broken):
    """One reward that is no number would spoil all weights: it is named instead."""
    with pytest.raises(TraceError, match="1 of 3 rewards are no finite numbers, the first of them answer 1"):
        group_relative(torch.tensor([1.0, broken, 0.0]), torch.zeros(3, dtype=torch.long))


def test_refuses_misfits():
    """Shapes that do not fit are named."""
    with pytest.raises(TraceError, match=r"\(2,\) and groups \(3,\)"):
        group_relative(torch.zeros(2), torch.zeros(3, dtype=torch.long))
    with pytest.raises(TraceError, match=r"token_credit \(2, 2\)"):
        spread(torch.zeros(2), torch.ones(2, 3), torch.zeros(2, 2))


B = 9
VOCAB = EditVocab(backtrack=B)


def rows(*traces):
    """A resolved batch of rows, padded on the right."""
    width = max(map(len, traces))
    ids = torch.tensor([[*trace, *[0] * (width - len(trace))] for trace in traces])
    return resolve(ids, torch.arange(width) < torch.tensor([len(t) for t in traces])[:, None], VOCAB)


def test_an_event_is_paid_its_gain_once():
    """Alpha times the gain over the edits that erased something; text, no-ops and padding get nothing."""
    resolution = rows([B, 1, 2, B, B, B, 3, B], [4, B])
    event_values = [[EventValue(0.0, 1.0), EventValue(1.0, 0.75)], [EventValue(0.5, 0.5)]]
    credit = event_credit(resolution, event_values, alpha=0.5)
    assert credit[0].tolist() == [0, 0, 0, 0.25, 0.25, 0, 0, -0.125]
    assert credit[1].tolist() == [0] * 8


def test_every_event_needs_its_value():
    """A trace with one event and no value for it is refused, with both counts."""
    with pytest.raises(TraceError, match=r"\[1\] effective events, but \[0\]"):
        event_credit(rows([1, B]), [[]], alpha=1.0)


def test_erased_tokens_are_turned_against():
    """They lose where the answer gained, and lose where it lost; the others keep theirs."""
    advantages = torch.tensor([[2.0, 2.0, 2.0], [-1.0, -1.0, -1.0]])
    erased = torch.tensor([[True, False, False], [False, True, False]])
    assert turn_against(advantages, erased).tolist() == [[-2.0, 2.0, 2.0], [-1.0, -1.0, -1.0]]
    with pytest.raises(TraceError, match=r"erased \(2,\)"):
        turn_against(advantages, torch.ones(2, dtype=torch.bool))


def test_prefix_tree_by_hand():
    """Means over the answers of a group that passed a state, each once; others' groups count for nothing."""
    traces = [
        [1, B, 2],  # passes 1, the start, 2
        [1, 3],  # passes 1
        [2, B, 2, B, 2],  # passes the start and 2 three times over
        [1, B, 2],
    ]
    event_values = prefix_tree_values(traces, ["p", "p", "p", "q"], [1.0, 0.0, 0.5, 0.0], VOCAB)
    start, one, two = 0.5, 0.5, 0.75
    assert event_values == [
        [EventValue(one, start)],
        [],
        [EventValue(two, start), EventValue(two, start)],
        [EventValue(0.0, 0.0)],
    ]


def test_prefix_tree_sees_runs_as_one_move():
    """States inside a run of edits are passed over, and edits at the start are no events."""
    traces = [[B, 1, 2, B, B, 3], [1]]
    event_values = prefix_tree_values(traces, [0, 0], [1.0, 0.0], VOCAB)
    assert event_values == [[EventValue(1.0, 0.5)], []]
    with pytest.raises(TraceError, match="2 traces, 1 groups"):
        prefix_tree_values(traces, [0], [1.0, 0.0], VOCAB)


PATHS = st.lists(st.lists(st.sampled_from([1, 2, B]), max_size=7), min_size=1, max_size=5)


@given(PATHS, st.data())
def test_prefix_tree_agrees_with_its_definition(traces, data):
    """Each state's value is the mean over the answers whose collapsed prefixes at event borders hold it."""
    rewards = data.draw(st.lists(st.integers(0, 3), min_size=len(traces), max_size=len(traces)))

    def states(trace):
        stops = [
            at
            for at in range(len(trace) + 1)
            if not (0 < at < len(trace) and trace[at - 1] == B and trace[at] == B)
        ]
        return [tuple(collapse(trace[:at], VOCAB)) for at in stops]

    def value(state):
        paid = [reward for trace, reward in zip(traces, rewards, strict=True) if state in states(trace)]
        return sum(paid) / len(paid)

    found = prefix_tree_values(traces, [0] * len(traces), [float(r) for r in rewards], VOCAB)
    for trace, event_values in zip(traces, found, strict=True):
        spans = [e for e in events(resolve_row(trace, VOCAB)) if e.effective] if trace else []
        expected = [
            (value(tuple(collapse(trace[: e.start], VOCAB))), value(tuple(collapse(trace[: e.stop], VOCAB))))
            for e in spans
        ]
        assert [v for move in event_values for v in (move.before, move.after)] == pytest.approx(
            sum(expected, ())
        )
