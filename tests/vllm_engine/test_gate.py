"""What is banned in hard context is worked out from the live tokens alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.decoding import EditPolicy, Tabu
from halluc_plugin.edits import Context, EditState, EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import TraceError
from halluc_plugin.vllm_engine.request import EditRequest

pytest.importorskip("vllm")
from vllm import SamplingParams

from halluc_plugin.vllm_engine.gate import Gate

VOCAB = EditVocab(5, step=6, step_delimiters=frozenset({1}), restart=7)
EOS = 9


def gate_of(params, output_ids):
    """The gate of a request that joins the batch with this output."""
    return Gate.of(params, [1], output_ids)


def params_of(request, **sampling):
    """Its sampling parameters."""
    return SamplingParams(extra_args=request.to_extra_args(), **sampling)


@given(
    actions=st.lists(st.tuples(st.sampled_from([1, 2, 3, 5, 6, 7]), st.booleans()), max_size=20),
    budget=st.none() | st.integers(0, 4),
    boundary=st.sampled_from(Boundary),
    context=st.sampled_from(Context),
    tabu=st.sampled_from([Tabu.LAST, Tabu.FIRST]),
)
def test_bans_are_those_of_the_policy_that_sees_every_action(actions, budget, boundary, context, tabu):
    """Budget, boundary and tabu survive rewinds, and preemptions after any action."""
    policy = EditPolicy(VOCAB, budget=budget, boundary=boundary, tabu=tabu)
    params = params_of(EditRequest(VOCAB, budget, boundary, context, tabu=tabu))
    output: list[int] = []
    gate = gate_of(params, output)
    for action, preempted in actions:
        assert gate.banned() == policy.banned()
        policy.push(action)
        if context is Context.SOFT or action not in VOCAB.edit_ids:
            output.append(action)
        else:
            del output[policy.state.depth :]
        if preempted:
            output = list(output)
            gate = gate_of(params, output)
    assert gate.banned() == policy.banned()


@given(st.lists(st.sampled_from([1, 2, 5, 6, 7]), max_size=12), st.sampled_from([2, 5, 6, 7]))
def test_depth_after_is_the_depth_after(actions, action):
    """The edit semantics foretell how many tokens an action will leave live."""
    state = EditState(VOCAB).extend(actions)
    foretold = state.depth_after(action)
    state.push(action)
    assert state.depth == foretold


def test_stops_are_banned_again_below_the_minimum():
    """After a rewind below min_tokens, which vLLM lifts for good, the gate bans EOS and stop ids."""
    params = params_of(EditRequest(VOCAB, context=Context.HARD), min_tokens=2, stop_token_ids=[EOS])
    output: list[int] = []
    gate = gate_of(params, output)
    for live, banned in (
        ([2], {EOS}),
        ([2, 3], set()),
        ([2], {EOS}),
        ([], {EOS}),
        ([4], {EOS}),
        ([4, 2], set()),
    ):
        output[:] = live
        assert gate.banned() == banned


def test_requests_that_limit_nothing_are_not_followed():
    """Without limits there is no gate, in either context, and none for requests of others."""
    assert gate_of(SamplingParams(), []) is None
    assert gate_of(params_of(EditRequest(VOCAB)), []) is None
    assert gate_of(params_of(EditRequest(VOCAB, context=Context.HARD)), []) is None


def test_a_change_that_no_action_makes_is_refused():
    """A vLLM that changed its ways is noticed, not guessed at."""
    output: list[int] = []
    gate = gate_of(params_of(EditRequest(VOCAB, 3, context=Context.HARD)), output)
    output.extend([2, 3, 4])
    with pytest.raises(TraceError, match="from 0 to 3 tokens in one action"):
        gate.banned()
