"""The logits processor follows requests through vLLM's batch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.edits import EditVocab, resolve_row
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import TraceError
from halluc_plugin.vllm_engine.request import EditRequest

vllm = pytest.importorskip("vllm")
from vllm import SamplingParams  # noqa: E402 (only where vLLM is installed)
from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality  # noqa: E402

from halluc_plugin.vllm_engine.budget import EditBudget  # noqa: E402

B, S, R, DELIMITER = 5, 6, 7, 1
VOCAB = EditVocab(B, step=S, step_delimiters=frozenset({DELIMITER}), restart=R)


def params(budget=None, boundary=Boundary.NOOP):
    """Sampling parameters of a limited request."""
    return SamplingParams(extra_args=EditRequest(VOCAB, budget, boundary).to_extra_args())


def new_processor():
    """The processor on CPU."""
    return EditBudget(None, torch.device("cpu"), is_pin_memory=False)


def update(size, *, added=(), removed=(), moved=()):
    """A message of vLLM about a change of the batch."""
    return BatchUpdate(batch_size=size, removed=removed, added=added, moved=moved)


def banned_rows(processor, size):
    """Rows whose edit tokens are banned; asserts that all edits are banned together and nothing else is."""
    logits = processor.apply(torch.zeros(size, 10))
    banned = logits == -torch.inf
    edits = torch.zeros(10, dtype=torch.bool)
    edits[[B, S, R]] = True
    assert all(torch.equal(row, edits) or not row.any() for row in banned)
    return banned.any(1).nonzero()[:, 0].tolist()


@given(
    ids=st.lists(st.sampled_from([1, 2, 3, B, S, R]), max_size=12),
    budget=st.none() | st.integers(0, 4),
    boundary=st.sampled_from(Boundary),
)
def test_bans_as_the_trace_grows_what_the_batch_form_bans(ids, budget, boundary):
    """Token by token the decision equals the batched facts: effective edits so far, and depth."""
    output = []
    processor = new_processor()
    processor.update_state(update(1, added=[(0, params(budget, boundary), [1], output)]))
    resolution = resolve_row(ids, VOCAB)
    effective = (resolution.is_edit & ~resolution.noop)[0].long()
    before = (effective.cumsum(0) - effective).tolist()
    for t, token_id in enumerate(ids):
        spent = budget is not None and before[t] >= budget
        expected = spent or (boundary is Boundary.MASK and int(resolution.depth[0, t]) == 0)
        assert banned_rows(processor, 1) == ([0] if expected else [])
        output.append(token_id)
        processor.update_state(None)


def test_follows_moves_swaps_and_removals():
    """State belongs to the request, wherever it sits in the batch."""
    spent, fresh = [2, B], [2]
    processor = new_processor()
    processor.update_state(
        update(
            3, added=[(0, params(1), [1], spent), (1, params(1), [1], fresh), (2, SamplingParams(), [1], [B])]
        )
    )
    assert banned_rows(processor, 3) == [0]
    processor.update_state(update(3, moved=[(0, 1, MoveDirectionality.SWAP)]))
    assert banned_rows(processor, 3) == [1]
    processor.update_state(update(2, removed=[0], moved=[(2, 0, MoveDirectionality.UNIDIRECTIONAL)]))
    assert banned_rows(processor, 2) == [1]
    processor.update_state(update(1, removed=[1]))
    assert banned_rows(processor, 1) == []


def test_a_preempted_request_comes_back_with_its_history():
    """A request added again with earlier output has spent what it had spent."""
    output = [2, B, 3]
    processor = new_processor()
    processor.update_state(update(1, added=[(0, params(1), [1], output)]))
    assert banned_rows(processor, 1) == [0]
    processor.update_state(update(0, removed=[0]))
    processor.update_state(update(1, added=[(0, params(1), [1], list(output))]))
    assert banned_rows(processor, 1) == [0]


def test_a_new_request_takes_the_seat_of_an_old_one():
    """An unlimited request that replaces a limited one inherits nothing."""
    processor = new_processor()
    processor.update_state(update(1, added=[(0, params(0), [1], [])]))
    assert banned_rows(processor, 1) == [0]
    processor.update_state(update(1, added=[(0, SamplingParams(), [1], [])]))
    assert banned_rows(processor, 1) == []


def test_ids_that_arrive_late_are_counted():
    """With asynchronous scheduling the last id is a placeholder until just before sampling."""
    output = [2, -1]
    processor = new_processor()
    processor.update_state(update(1, added=[(0, params(1), [1], output)]))
    output[-1] = B
    assert banned_rows(processor, 1) == [0]


def test_shrinking_output_is_refused():
    """A scheduler that rewinds hides actions from this processor, which says so instead of miscounting."""
    output = [2, 3, 4]
    processor = new_processor()
    processor.update_state(update(1, added=[(0, params(1), [1], output)]))
    banned_rows(processor, 1)
    del output[1:]
    with pytest.raises(TraceError, match="shrank from 3 to 1"):
        processor.apply(torch.zeros(1, 10))


def test_idle_without_limits():
    """Requests without limits cost nothing: logits come back untouched, the same tensor."""
    processor = new_processor()
    no_limits = SamplingParams(extra_args=EditRequest(VOCAB).to_extra_args())
    processor.update_state(update(2, added=[(0, SamplingParams(), [1], []), (1, no_limits, [1], [])]))
    logits = torch.zeros(2, 10)
    assert processor.apply(logits) is logits
    assert not logits.any()
    assert not processor._gates
    assert not processor.is_argmax_invariant()


def test_bad_parameters_are_refused_by_the_front_end():
    """The check before a request is queued names the mistake."""
    EditBudget.validate_params(SamplingParams())
    with pytest.raises(ValueError, match="Did you mean halluc_budget"):
        EditBudget.validate_params(SamplingParams(extra_args={"halluc_backtrack": 5, "halluc_budgte": 1}))
