"""Configs that a plan is made of."""

import pytest
from transformers import Qwen2Config


@pytest.fixture(scope="session")
def qwen_7b():
    """The config of Qwen2.5-7B."""
    return Qwen2Config(
        vocab_size=152064, hidden_size=3584, intermediate_size=18944, num_hidden_layers=28,
        num_attention_heads=28, num_key_value_heads=4, max_position_embeddings=131072,
        tie_word_embeddings=False,
    )  # fmt: skip


@pytest.fixture(scope="session")
def qwen_1_5b():
    """The config of Qwen2.5-1.5B, whose head is the embedding."""
    return Qwen2Config(
        vocab_size=151936, hidden_size=1536, intermediate_size=8960, num_hidden_layers=28,
        num_attention_heads=12, num_key_value_heads=2, max_position_embeddings=131072,
        tie_word_embeddings=True,
    )  # fmt: skip
