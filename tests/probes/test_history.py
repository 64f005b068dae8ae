"""Same state, other history: which ways there are, and that hard context takes no notice of them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import Qwen3Config, Qwen3ForCausalLM

from halluc_plugin.edits import Context, EditVocab, collapse
from halluc_plugin.errors import TraceError
from halluc_plugin.probes.history import permuted_tries, probe_history, require_one_text, ways_of

END, BACK, STEP = 1, 2, 3
VOCAB = EditVocab(backtrack=BACK, step=STEP, step_delimiters=frozenset({END}))


def ways(trace):
    """Those of one trace behind the prompt 9."""
    return list(ways_of(0, (9,), trace, VOCAB, delimiters={END}, rng=np.random.default_rng(0)))


def test_ways_by_hand():
    """Two tries are taken back, by step and by two tokens; asked behind each, and behind the step after."""
    found = ways([5, END, STEP, 6, END, BACK, BACK, 7, END, 8])
    assert [(way.history[-1], way.tries, way.live) for way in found] == [
        (STEP, 1, ()), (END, 1, (6, END)), (BACK, 2, ()), (END, 2, (7, END)),
    ]  # fmt: skip
    assert [way.permuted for way in found] == [
        None, None, (6, END, BACK, BACK, 5, END, STEP), (6, END, BACK, BACK, 5, END, STEP, 7, END),
    ]  # fmt: skip


def test_tries_from_other_states_keep_their_places():
    """A try behind a live line is not exchanged with one before it; equal tries have no other order."""
    rng = np.random.default_rng(0)
    assert permuted_tries([5, END, STEP, 6, END, 7, END, STEP], VOCAB, rng) is None
    assert permuted_tries([5, END, STEP, 5, END, STEP], VOCAB, rng) is None
    nested = [4, END, 5, END, STEP, 6, END, STEP]
    assert permuted_tries(nested, VOCAB, rng) == (4, END, 6, END, STEP, 5, END, STEP)


@given(st.lists(st.sampled_from([END, BACK, STEP, 5, 6, 7]), max_size=40), st.integers(0, 3))
def test_another_order_is_the_same_text(trace, seed):
    """Whatever the trace: the same actions, another order, the same live text."""
    found = permuted_tries(trace, VOCAB, np.random.default_rng(seed))
    if found is not None:
        assert sorted(found) == sorted(trace)
        assert list(found) != trace
        assert collapse(found, VOCAB) == collapse(trace, VOCAB)


def test_hard_context_decides_alike_and_soft_need_not():
    """A sharp random model: with the tree of the raw trace it decides as without history, to rounding."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=12, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=64, tie_word_embeddings=True,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config).eval()
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(40)
    found = ways([5, END, STEP, 6, END, BACK, BACK, 7, END, 8])
    hard, soft = (probe_history(model, found, VOCAB, context) for context in (Context.HARD, Context.SOFT))
    assert set(hard.by_tries) == {1, 2}
    assert set(hard.permuted) == {2}
    for agreement in (*hard.by_tries.values(), *hard.permuted.values()):
        assert agreement.same.value == 1
        assert agreement.variation.value < 1e-4
    assert soft.by_tries[2].same.n == 2
    assert soft.by_tries[2].variation.value > 0.01


def test_histories_of_several_texts_are_refused():
    """And a file in which nothing is taken back."""
    with pytest.raises(TraceError, match="2 histories end in 2 live texts"):
        require_one_text([(5, END, STEP), (5, END)], VOCAB)
    with pytest.raises(TraceError, match="No trace takes anything back"):
        probe_history(None, ways([5, END, 6]), VOCAB, Context.SOFT)
