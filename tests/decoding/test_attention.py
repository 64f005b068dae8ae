"""Grouped heads attend as if keys and values had been repeated for every head."""

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from halluc_plugin.decoding.attention import grouped_attention, grouped_heads


@pytest.fixture
def model():
    """A model with two query heads to a group."""
    config = Qwen2Config(
        vocab_size=8, hidden_size=32, intermediate_size=16, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, attn_implementation="sdpa",
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


@pytest.mark.parametrize("queries", [1, 3])
def test_equals_transformers(model, queries):
    """One query or several, under a mask of its own for each row."""
    torch.manual_seed(0)
    module = model.model.layers[0].self_attn
    query, key = torch.randn(5, 4, queries, 8), torch.randn(5, 2, 7, 8)
    value, mask = torch.randn(5, 2, 7, 8), torch.rand(5, 1, queries, 7) < 0.6
    mask[..., 0] = True
    ours, _ = grouped_attention(module, query, key, value, mask, scaling=0.3)
    theirs, _ = sdpa_attention_forward(module, query, key, value, mask, scaling=0.3)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_the_model_is_left_as_it_was(model):
    """After an error too; a model with another attention is not touched."""

    def fails():
        assert model.config._attn_implementation == "halluc_grouped_sdpa"
        raise ValueError("in between")

    with pytest.raises(ValueError, match="in between"), grouped_heads(model):
        fails()
    assert model.config._attn_implementation == "sdpa"
    model.set_attn_implementation("eager")
    with grouped_heads(model):
        assert model.config._attn_implementation == "eager"
