"""Events as records, and the record of a whole trace."""

import json
from itertools import groupby

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.edits import (
    EditEvent,
    EditState,
    EditVocab,
    events,
    read_record,
    resolve,
    resolve_row,
    trace_record,
)
from halluc_plugin.errors import TraceError

DOT, B, S, R = 0, 10, 11, 12
FULL = EditVocab(B, step=S, step_delimiters=frozenset({DOT}), restart=R)
traces = st.lists(st.sampled_from([1, 2, DOT, B, S, R]), max_size=30)


def test_events_of_a_batch_by_hand():
    """What each event erased, when and how deep, in the columns of the padded rows, by row and time."""
    ids = torch.tensor([[B, 1, DOT, 2, 3, B, S, 4, R, B], [9, 9, 1, 2, B, 3, B, B, B, 9]])
    valid = torch.tensor([[True] * 10, [False] * 2 + [True] * 7 + [False]])
    assert events(resolve(ids, valid, FULL)) == [
        EditEvent(row=0, number=0, start=0, stop=1, effective=0, erased=(), depth_before=0, depth_after=0),
        EditEvent(0, 1, 5, 7, effective=2, erased=(3, 4), depth_before=4, depth_after=2),
        EditEvent(0, 2, 8, 10, effective=1, erased=(1, 2, 7), depth_before=3, depth_after=0),
        EditEvent(1, 0, 4, 5, effective=1, erased=(3,), depth_before=2, depth_after=1),
        EditEvent(1, 1, 6, 9, effective=2, erased=(2, 5), depth_before=2, depth_after=0),
    ]


def test_nothing_happened():
    """Text only, no actions and no rows have no events."""
    assert events(resolve_row([1, DOT, 2], FULL)) == []
    assert events(resolve_row([], FULL)) == []
    assert (
        events(resolve(torch.empty(0, 3, dtype=torch.long), torch.empty(0, 3, dtype=torch.bool), FULL)) == []
    )


@given(traces)
def test_events_equal_the_stack(row):
    """For any trace each run of edits is one event, with what the stack erased in it and its depths."""
    state, expected, t = EditState(FULL), [], 0
    for edits, run in groupby(row, key=lambda token: token in FULL.edit_ids):
        tokens, before = list(run), state.depth
        erased = [state.push(token) for token in tokens]
        if edits:
            gone = tuple(sorted(index for indices in erased for index in indices))
            effective = sum(map(bool, erased))
            stop = t + len(tokens)
            expected.append(EditEvent(0, len(expected), t, stop, effective, gone, before, state.depth))
        t += len(tokens)
    assert events(resolve_row(row, FULL)) == expected


def test_a_record_is_read_as_it_was_written():
    """What is written as JSON and read again says the same of every action; other layouts are refused."""
    ids = [1, 2, B, 3, S, 1]
    record, facts = read_record(json.loads(json.dumps(trace_record(ids, FULL)))), resolve_row(ids, FULL)
    assert record.ids == tuple(ids)
    assert record.live == tuple(facts.live[0].tolist())
    assert record.parent == tuple(facts.parent[0].tolist())
    assert record.resolved == tuple(facts.resolved(0))
    assert record.events == tuple(events(facts))
    assert record.num_effective == int(facts.num_effective[0])
    assert [at is not None for at in record.erased_at] == facts.erased[0].tolist()
    with pytest.raises(TraceError, match="has version 2, this halluc reads 1"):
        read_record({**trace_record(ids, FULL), "version": 2})
    with pytest.raises(TraceError, match="no record of a trace"):
        read_record({"version": 1, "ids": ids})


def test_a_trace_record_by_hand():
    """The record of 1 2 < 3 | as it is written to a log."""
    assert trace_record([1, 2, B, 3, S], FULL) == {
        "version": 1,
        "ids": [1, 2, B, 3, S],
        "live": [0, 0, 0, 0, 0],
        "erased_at": [4, 2, None, 4, None],
        "parent": [-1, 0, 1, 0, 3],
        "resolved": [],
        "events": [
            {"number": 0, "start": 2, "stop": 3, "effective": 1, "erased": [1],
             "depth_before": 2, "depth_after": 1},
            {"number": 1, "start": 4, "stop": 5, "effective": 1, "erased": [0, 3],
             "depth_before": 2, "depth_after": 0},
        ],
    }  # fmt: skip


@given(traces)
def test_a_record_survives_json(row):
    """What is read back is what was written, and tells what is left of the trace."""
    record = trace_record(row, FULL)
    assert json.loads(json.dumps(record)) == record
    assert [token for token, live in zip(record["ids"], record["live"], strict=True) if live] == record[
        "resolved"
    ]
    assert record["resolved"] == EditState(FULL).extend(row).live_ids


def test_ids_of_any_integer_kind_are_recorded():
    """Ids from numpy, as rollouts and data files hold them, become JSON numbers."""
    row = np.array([1, 2, B], dtype=np.int32)
    assert json.dumps(trace_record(row, FULL)) == json.dumps(trace_record([1, 2, B], FULL))


def test_padding_in_a_trace_is_refused():
    """A record is of actions only; a negative pad id is named."""
    with pytest.raises(TraceError, match="id -100 at valid position 1"):
        trace_record([1, -100], FULL)
