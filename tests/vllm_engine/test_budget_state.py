"""The logits processor follows requests through vLLM's batch."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.decoding import EditPolicy, Tabu
from halluc_plugin.edits import Context, EditVocab, resolve_row
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


class Batch:
    """Requests as vLLM keeps them, each beside a policy that is told of every action."""

    def __init__(self, seed):
        self.random, self.processor = random.Random(seed), new_processor()
        self.rows, self.left = [], []

    def new(self):
        """A request: its parameters, output and policy."""
        limits = {
            "budget": self.random.choice([None, 0, 3, 30]),
            "boundary": self.random.choice(list(Boundary)),
            "tabu": self.random.choice(list(Tabu)),
        }
        context = self.random.choice(list(Context))
        extra_args = EditRequest(VOCAB, context=context, **limits).to_extra_args()
        return SamplingParams(extra_args=extra_args), context, [], EditPolicy(VOCAB, **limits)

    def change(self):
        """Some requests leave, some of them to come back; others join; two change places."""
        added, moved = [], []
        if len(self.rows) > 2 and self.random.random() < 0.5:
            row = self.random.randrange(len(self.rows))
            self.left.append(self.rows[row])
            back = self.left.pop(0) if self.random.random() < 0.5 else self.new()
            back = (*back[:2], list(back[2]), back[3])  # vLLM keeps a new list of a request that comes back
            self.rows[row] = back
            added.append((row, back[0], [1], back[2]))
        elif len(self.rows) < 6:
            self.rows.append(self.new())
            added.append((len(self.rows) - 1, self.rows[-1][0], [1], self.rows[-1][2]))
        if len(self.rows) > 1 and self.random.random() < 0.3:
            one, other = self.random.sample(range(len(self.rows)), 2)
            self.rows[one], self.rows[other] = self.rows[other], self.rows[one]
            moved.append((one, other, MoveDirectionality.SWAP))
        return update(len(self.rows), added=added, moved=moved)

    def act(self):
        """An action that is not banned, of most requests."""
        for _, context, output, policy in self.rows:
            free = sorted({1, 2, 3, 4, B, S, R} - policy.banned())
            if not free or self.random.random() < 0.1:
                continue
            token_id = self.random.choice([each for each in free if each <= 4] * 3 + free)
            policy.push(token_id)
            if context is Context.SOFT or token_id <= 4:
                output.append(token_id)
            else:
                del output[policy.state.depth :]


@pytest.mark.parametrize("seed", range(40))
def test_a_batch_bans_for_each_request_what_its_policy_bans(seed):
    """Over 200 steps in which requests come, go, return and change places, in both contexts together."""
    batch = Batch(seed)
    for step in range(200):
        batch.processor.update_state(batch.change() if step < 6 or batch.random.random() < 0.1 else None)
        logits = batch.processor.apply(torch.zeros(len(batch.rows), 10))
        banned = [set((row == -torch.inf).nonzero()[:, 0].tolist()) for row in logits]
        assert banned == [policy.banned() for _, _, _, policy in batch.rows]
        batch.act()


def test_ids_beyond_the_logits_are_never_written():
    """Of whatever got past the front end, an id that the model does not have is left alone."""
    processor = new_processor()
    beyond = SamplingParams(extra_args=EditRequest(EditVocab(100_000, restart=7), 0).to_extra_args())
    unreadable = SamplingParams(extra_args={"halluc_backtrack": "5", "halluc_budget": 0})
    processor.update_state(
        update(3, added=[(0, beyond, [1], []), (1, unreadable, [1], []), (2, params(0), [1], [])])
    )
    assert (processor.apply(torch.zeros(3, 10)) == -torch.inf).nonzero().tolist() == [
        [0, 7], [2, B], [2, S], [2, R],
    ]  # fmt: skip


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
