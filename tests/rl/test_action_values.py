"""Values of the state after every action: what is read of an answer, and which action gets what, by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.edits import EditState, EditVocab, resolve_rows
from halluc_plugin.rl.action_values import LOGITS, action_logits, written_texts

A, B, C, BACK = 1, 2, 3, 9
VOCAB = EditVocab(BACK)


def test_texts_and_logits_by_hand():
    """A B < C < < A: A B, A C and A are read; an edit gets the logit of what it came back to."""
    resolution = resolve_rows([[A, B, BACK, C, BACK, BACK, A], [C]], VOCAB)
    texts = written_texts(resolution, 0)
    assert texts == [[0, 1], [0, 3], [6]]
    values = [[0.5, 0.75], [0.5, 0.25], [0.9]]
    logit = math.log(3)
    found = action_logits(resolution, 0, texts, values)
    assert found == [
        pytest.approx(n) if n is not None else None for n in (0, logit, 0, -logit, 0, None, math.log(9))
    ]
    assert written_texts(resolution, 1) == [[0]]
    assert action_logits(resolution, 1, [[0]], [[1.0]]) == [LOGITS]


def test_what_ends_by_an_edit_has_what_is_left():
    """An edit at the end gets the last token that is live, or nothing where none is."""
    resolution = resolve_rows([[A, B, BACK], [A, BACK, BACK], [BACK]], VOCAB)
    assert action_logits(resolution, 0, [[0, 1]], [[0.5, 0.75]]) == [0.0, pytest.approx(math.log(3)), 0.0]
    assert action_logits(resolution, 1, written_texts(resolution, 1), [[0.5]]) == [0.0, None, None]
    assert written_texts(resolution, 2) == []
    assert action_logits(resolution, 2, [], []) == [None]


@given(st.lists(st.lists(st.sampled_from([A, B, C, BACK]), max_size=8), min_size=1, max_size=4))
def test_each_action_has_the_value_of_the_live_text_behind_it(traces):
    """Of a value that depends on the whole text, with a stack as the oracle."""
    resolution = resolve_rows(traces, VOCAB)

    def value(ids):
        return (1 + sum(at * token for at, token in enumerate(ids, 1))) / 200

    for row, trace in enumerate(traces):
        texts = written_texts(resolution, row)
        live = [[trace[column] for column in columns] for columns in texts]
        values = [[value(ids[: at + 1]) for at in range(len(ids))] for ids in live]
        state, expected = EditState(VOCAB), []
        for token in trace:
            state.push(token)
            ids = list(state.live_ids)
            expected.append(float(torch.logit(torch.tensor(value(ids)))) if ids else None)
        found = action_logits(resolution, row, texts, values)
        assert [n is None for n in found] == [n is None for n in expected]
        assert [n for n in found if n is not None] == pytest.approx(
            [n for n in expected if n is not None], abs=1e-4
        )
