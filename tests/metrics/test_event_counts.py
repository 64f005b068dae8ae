"""Answers by their number of events, and how much tries from one state differ, by hand."""

import math

import pytest

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import MetricError
from halluc_plugin.metrics import judge_ids, retry_diversity, right_by_events, tries_by_state, wilson

DOT, BACK, STEP, EOS = 10, 11, 12, 13
VOCAB = EditVocab(backtrack=BACK, step=STEP, step_delimiters=frozenset({DOT}))


def tries(text):
    """The tries of a trace in digits, "." for the delimiter, "<" and "|" for the edits."""
    symbols = {".": DOT, "<": BACK, "|": STEP}
    ids = [symbols[c] if c in symbols else int(c) for c in text]
    (judged,) = judge_ids([ids], VOCAB, [lambda _: True])
    shown = {DOT: "."}
    return [
        ["".join(shown.get(i, str(i)) for i in one) for one in of_state]
        for of_state in tries_by_state(judged, VOCAB.step_delimiters)
    ]


def test_groups_by_hand():
    """Two without, one with one event, none with two, three with three or more, one of them right."""
    groups = right_by_events([0, 3, 1, 7, 0, 4], [True, False, True, True, False, False])
    assert [group.events for group in groups] == [0, 1, 2, 3]
    assert [group.share.value for group in groups] == pytest.approx([2 / 6, 1 / 6, 0, 3 / 6])
    assert [group.share.n for group in groups] == [6] * 4
    assert [group.right.n for group in groups] == [2, 1, 0, 3]
    assert [groups[at].right.value for at in (0, 1, 3)] == pytest.approx([0.5, 1.0, 1 / 3])
    assert math.isnan(groups[2].right.value)
    assert (groups[3].right.low, groups[3].right.high) == wilson(1 / 3, 3)


@pytest.mark.parametrize(("events", "right", "most"), [([1], [], 3), ([-1], [True], 3), ([1], [True], 0)])
def test_what_cannot_be_grouped_is_refused(events, right, most):
    """One number for each answer, none negative, and a last group of at least one."""
    with pytest.raises(MetricError):
        right_by_events(events, right, most)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("12.", []),  # no state twice
        ("12.|13.|12.", [["12.", "13.", "12."]]),  # three from the empty state
        ("1.2.|3.|2.", [["2.", "3.", "2."]]),  # from behind "1."
        ("1.2.||1.4.", [["1.", "1."], ["2.", "4."]]),  # "1." written anew is the same state
        ("12<3.", []),  # a part of a step is gone on with
        ("12<<3.", [["12", "3."]]),  # an event ends a try
    ],
)
def test_tries_by_hand(text, found):
    """The steps begun in each state to which a trace came back."""
    assert tries(text) == found


def test_diversity_by_hand():
    """Three tries of which two differ, and two that are alike: 3 of 5; of states with three tries, 2 of 3."""
    of_states = [["a", "b", "a"], ["c", "c"], ["d"]]
    assert (retry_diversity(of_states).value, retry_diversity(of_states).n) == (pytest.approx(3 / 5), 5)
    assert (retry_diversity(of_states, 3).value, retry_diversity(of_states, 3).n) == (pytest.approx(2 / 3), 3)
    assert math.isnan(retry_diversity([["a"]]).value)
    with pytest.raises(MetricError, match="diversity of 1 tries"):
        retry_diversity(of_states, 1)
