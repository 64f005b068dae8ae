"""``resolve``: its facts on a batch small enough for paper, and what it refuses."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.edits import Backend, EditVocab, collapse, resolve, resolve_row
from halluc_plugin.errors import TraceError

DOT, EOS, PAD, B, S, R = 0, 9, 10, 10, 11, 12  # padding is the backtrack's id on purpose
FULL = EditVocab(B, step=S, step_delimiters=frozenset({DOT}), restart=R)
T, F = True, False


@pytest.fixture(params=[None, *Backend], ids=str)
def pair(request):
    """1 2 < 3 < < (nested edits) padded on the left, and < 1 . 2 | EOS padded on the right."""
    ids = torch.tensor([[PAD, 1, 2, B, 3, B, B], [B, 1, DOT, 2, S, EOS, PAD]])
    valid = torch.tensor([[F, T, T, T, T, T, T], [T, T, T, T, T, T, F]])
    return resolve(ids, valid, FULL, backend=request.param)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("is_edit", [[F, F, F, T, F, T, T], [T, F, F, F, T, F, F]]),
        ("erased", [[F, T, T, F, T, F, F], [F, F, F, T, F, F, F]]),
        ("noop", [[F, F, F, F, F, F, F], [T, F, F, F, F, F, F]]),
        ("erased_at", [[7, 6, 3, 7, 5, 7, 7], [7, 7, 7, 4, 7, 7, 7]]),
        ("parent", [[-1, -1, 1, 2, 1, 4, 1], [-1, -1, 1, 2, 3, 2, -1]]),
        ("depth", [[0, 0, 1, 2, 1, 2, 1], [0, 0, 1, 2, 3, 2, 0]]),
        ("event", [[-1, -1, -1, 0, -1, 1, 1], [0, -1, -1, -1, 1, -1, -1]]),
        ("live", [[F, F, F, F, F, F, F], [F, T, T, F, F, T, F]]),
        ("raw_length", [6, 6]),
        ("resolved_length", [0, 3]),
        ("num_edits", [3, 2]),
        ("num_effective", [3, 1]),
        ("num_events", [2, 2]),
    ],
)
def test_all_facts_by_hand(pair, name, expected):
    """Each field in the coordinates of the padded rows, with its dtype."""
    got = getattr(pair, name)
    assert got.tolist() == expected
    assert got.dtype == (
        torch.bool if isinstance(torch.tensor(expected).flatten()[0].item(), bool) else torch.long
    )


def test_resolved_ids(pair):
    """What is left of each row, EOS included."""
    assert [pair.resolved(row) for row in range(2)] == [[], [1, DOT, EOS]]


def test_inputs_come_back_as_given(pair):
    """The resolution carries ids, valid and vocabulary, and the vocabulary's padding twin is no edit."""
    assert pair.ids.tolist() == [[PAD, 1, 2, B, 3, B, B], [B, 1, DOT, 2, S, EOS, PAD]]
    assert pair.valid.sum(1).tolist() == [6, 6]
    assert pair.vocab is FULL


def test_moving_keeps_every_fact(pair):
    """`to` gives an equal resolution on the other device."""
    moved = pair.to("cpu")
    assert moved.erased_at.tolist() == pair.erased_at.tolist()
    assert pair.to("meta").parent.device.type == "meta"


def test_resolve_leaves_its_inputs_alone():
    """Neither ids nor valid are written to, also when ids are int64 already."""
    ids, valid = torch.tensor([[1, B, PAD]]), torch.tensor([[T, T, F]])
    resolve(ids, valid, FULL)
    assert (ids.tolist(), valid.tolist()) == ([[1, B, PAD]], [[T, T, F]])


def test_lengths_decide_what_is_padding():
    """The same ids with another `valid` are another trace: no id is padding by itself."""
    ids = torch.tensor([[1, 2, B, B]])
    for length, left in ((2, [1, 2]), (3, [1]), (4, [])):
        assert resolve(ids, torch.arange(4)[None] < length, FULL).resolved(0) == left


@given(st.lists(st.sampled_from([1, 2, EOS, DOT, B, S, R]), max_size=30))
def test_one_row_without_padding(row):
    """`resolve_row` leaves what `collapse` leaves."""
    resolution = resolve_row(row, FULL)
    assert resolution.valid.tolist() == [[T] * len(row)]
    assert resolution.resolved(0) == collapse(row, FULL)
    assert resolution.num_events.shape == (1,)


def test_no_columns():
    """Rows of length 0 have no events, no edits and nothing left."""
    empty = resolve(torch.empty(2, 0, dtype=torch.long), torch.empty(2, 0, dtype=torch.bool), FULL)
    assert empty.num_events.tolist() == empty.resolved_length.tolist() == [0, 0]
    assert empty.resolved(1) == []


IDS = torch.tensor([[1, 2, 3]])
VALID = torch.ones(1, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("ids", "valid", "message"),
    [
        (
            IDS,
            VALID[:, :2],
            r"ids have shape \(1, 3\) and valid has \(1, 2\). Fix: Pass both as \[batch, time\]",
        ),
        (IDS[0], VALID[0], r"ids have shape \(3,\)"),
        (IDS.float(), VALID, "ids have dtype torch.float32. Fix: Pass integer token ids."),
        (IDS.bool(), VALID, "ids have dtype torch.bool"),
        (IDS.to(torch.complex64), VALID, "ids have dtype torch.complex64"),
        (
            IDS,
            VALID.long(),
            r"valid has dtype torch.int64. Fix: Pass a bool mask, e.g. arange\(T\) < lengths",
        ),
        (torch.tensor([[1, -7, 3]]), VALID, "Row 0 has id -7 at valid position 1. Fix: Mark padding as not"),
        (IDS, torch.tensor([[T, F, T]]), "valid of row 0 has holes. Fix: Make it one run per row"),
        (IDS, VALID.to("meta"), "ids are on cpu, valid on meta. Fix: Move both to one device."),
    ],
)
def test_inconsistent_inputs_are_refused(ids, valid, message):
    """Shape, dtype, range, holes and devices, each with the offending value and the fix."""
    for backend in Backend:
        with pytest.raises(TraceError, match=message):
            resolve(ids, valid, FULL, backend=backend)


def test_holes_are_found_in_any_row():
    """The message names the row whose actions are not consecutive."""
    valid = torch.tensor([[F, T, T], [F, F, F], [T, F, T]])
    with pytest.raises(TraceError, match="valid of row 2 has holes"):
        resolve(IDS.expand(3, 3), valid, FULL)


def test_the_compiled_form_stays_on_the_cpu():
    """Asked for on another device it says so, instead of failing inside numpy."""
    with pytest.raises(
        TraceError, match=r"compiled form runs on CPU, ids are on meta\. Fix: Leave backend out"
    ):
        resolve(IDS.to("meta"), VALID.to("meta"), FULL, backend=Backend.COMPILED)


@pytest.mark.parametrize(
    ("row", "message"), [([1, -1], "Row 0 has id -1"), ([1, 2.5], "dtype torch.float32")]
)
def test_rows_of_no_ids_are_refused(row, message):
    """A negative id, and a fraction that a conversion would have cut off."""
    with pytest.raises(TraceError, match=message):
        resolve_row(row, FULL)


@given(st.lists(st.sampled_from([1, 2, DOT, B, S, R]), max_size=12))
def test_live_at_is_the_collapsed_prefix(trace):
    """Before every action, and at the end, what is live is what the actions so far leave."""
    resolution = resolve_row(trace, FULL)
    for column in range(len(trace) + 1):
        assert resolution.live_at(0, column) == collapse(trace[:column], FULL)
