"""Make a randomly initialised Qwen3 of a named size.

Qwen2 cannot be used: transformers 5.10 loads Qwen's tokenizer for every model of type ``qwen2``, whatever
tokenizer was saved with the weights, and would encode texts as wrong ids without an error.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True)
class Shape:
    """The shape of a network: hidden size, size inside the feed-forward network, layers, heads."""

    hidden: int
    intermediate: int
    layers: int
    heads: int


class Size(StrEnum):
    """The sizes of models by their number of parameters, embeddings of a number-level vocabulary included."""

    TINY = "0.9M"
    SMALL = "3M"
    MEDIUM = "17M"

    @property
    def shape(self) -> Shape:
        """The shape of the network."""
        return _SHAPES[self]


_SHAPES = {
    Size.TINY: Shape(hidden=128, intermediate=384, layers=4, heads=4),
    Size.SMALL: Shape(hidden=256, intermediate=512, layers=4, heads=4),
    Size.MEDIUM: Shape(hidden=512, intermediate=1024, layers=6, heads=8),
}


def new_model(tokenizer: Any, size: Size | Shape, *, seed: int, max_length: int = 1024) -> Any:
    """Return a Qwen3 with random weights, whose input and output embeddings are shared.

    Args:
        tokenizer: The tokenizer of the model, which gives the vocabulary and the special ids.
        size: The size of the model, or a shape that has no name.
        seed: Seed of the weights; the global random state is not changed.
        max_length: Longest sequence that the model may be used on, in tokens.

    Returns:
        A ``Qwen3ForCausalLM`` in float32.
    """
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    shape = size.shape if isinstance(size, Size) else size
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        head_dim=shape.hidden // shape.heads,
        max_position_embeddings=max_length,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(config)
