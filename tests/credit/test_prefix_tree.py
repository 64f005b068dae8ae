"""Values of states by the group's own answers: the compiled pass against a table of whole prefixes."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.credit import EventValue, prefix_tree_values
from halluc_plugin.edits import EditState, EditVocab
from halluc_plugin.errors import TraceError

STEP, RESTART, BACK = 7, 8, 9
VOCAB = EditVocab(BACK, step=STEP, step_delimiters=frozenset({0}), restart=RESTART)


def states(trace, vocab):
    """The live ids at first and behind each action but edits inside a run, and whether an edit led there."""
    state, passed = EditState(vocab), [((), False)]
    for at, token in enumerate(trace):
        state.push(token)
        edit = token in vocab.edit_ids
        if not (edit and at + 1 < len(trace) and trace[at + 1] in vocab.edit_ids):
            passed.append((tuple(state.live_ids), edit))
    return passed


def by_table(traces, groups, rewards, vocab):
    """The definition, with every prefix written out."""
    paid = {}
    for trace, group, reward in zip(traces, groups, rewards, strict=True):
        for prefix in {prefix for prefix, _ in states(trace, vocab)}:
            paid.setdefault((group, prefix), []).append(reward)
    value = {state: sum(rewards, 0.0) / len(rewards) for state, rewards in paid.items()}
    found = []
    for trace, group in zip(traces, groups, strict=True):
        passed = states(trace, vocab)
        found.append(
            [
                EventValue(value[group, before], value[group, after])
                for (before, _), (after, edited) in pairwise(passed)
                if edited and after != before
            ]
        )
    return found


ACTIONS = st.sampled_from([0, 1, 2, 40_000, STEP, RESTART, BACK, BACK])
ANSWERS = st.lists(
    st.tuples(st.lists(ACTIONS, max_size=12), st.sampled_from(["p", "q", 3]), st.floats(-2, 2)), max_size=12
)


@given(ANSWERS)
def test_equals_its_definition_exactly(answers):
    """For any traces, groups in any order and rewards, to the last bit."""
    traces, groups, rewards = ([answer[i] for answer in answers] for i in range(3))
    assert prefix_tree_values(traces, groups, rewards, VOCAB) == by_table(traces, groups, rewards, VOCAB)


@pytest.mark.parametrize("tokens", [3, 5000])
def test_equals_its_definition_on_long_traces(tokens):
    """Hundreds of actions, where states are shared by many answers, and where hardly any is."""
    rng = np.random.default_rng(tokens)
    traces = [
        np.where(rng.random(n) < 0.3, BACK, rng.integers(10, 10 + tokens, n)).tolist()
        for n in rng.integers(0, 400, 24).tolist()
    ]
    groups, rewards = rng.integers(0, 3, 24).tolist(), rng.random(24).tolist()
    assert prefix_tree_values(traces, groups, rewards, VOCAB) == by_table(traces, groups, rewards, VOCAB)


def test_many_children_of_one_state():
    """A thousand tokens that are tried and taken back at one place stay apart, in every answer."""
    one, other = (
        [action for token in tried for action in (10 + token, BACK)]
        for tried in (range(1000), range(500, 900))
    )
    plain = EditVocab(BACK)
    event_values = prefix_tree_values([one, other], [0, 0], [1.0, 0.0], plain)
    assert event_values[0] == [
        EventValue(1.0 if not 500 <= token < 900 else 0.5, 0.5) for token in range(1000)
    ]
    assert event_values[1] == [EventValue(0.5, 0.5)] * 400


def test_nothing_is_fine_and_negative_ids_are_not():
    """No answers, answers without actions, arrays instead of lists; an id below 0 is refused."""
    assert prefix_tree_values([], [], [], VOCAB) == []
    assert prefix_tree_values([[], [BACK]], [0, 0], [1.0, 0.0], VOCAB) == [[], []]
    assert prefix_tree_values([np.array([1, BACK]), []], [0, 0], [1, 0], VOCAB) == [
        [EventValue(1.0, 0.5)],
        [],
    ]
    with pytest.raises(TraceError, match="id -1"):
        prefix_tree_values([[1, -1]], [0], [1.0], VOCAB)
