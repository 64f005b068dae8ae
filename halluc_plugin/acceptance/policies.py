"""Random policies and raw traces for checks, made in place from seeds."""

from dataclasses import dataclass
from typing import Any

import torch

from halluc_plugin.edits import Backend, EditVocab, Resolution, pad_rows, resolve

VOCAB = EditVocab(40, step=41, step_delimiters=frozenset({3, 4}), restart=42)
TOKENS = 64


@dataclass(frozen=True)
class Shape:
    """How large a policy and its batch of traces are."""

    hidden: int
    layers: int
    rows: int
    longest: int


SMALL = Shape(hidden=64, layers=2, rows=6, longest=24)
LARGE = Shape(hidden=256, layers=4, rows=16, longest=200)
"""Traces of several blocks of 128 tokens."""


@dataclass(frozen=True)
class Batch:
    """Prompts and raw traces, a third of whose actions are edits.

    Attributes:
        prompts: The token ids of each prompt.
        traces: The token ids of each trace.
        device: Where tensors are made.
    """

    prompts: list[list[int]]
    traces: list[list[int]]
    device: torch.device

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, Resolution]:
        """Return padded prompts (Long[B, P]), where they are tokens (Bool[B, P]), and the resolution."""
        ids, valid = (part.to(self.device) for part in pad_rows(self.prompts))
        traces, actions = (part.to(self.device) for part in pad_rows(self.traces))
        # Not the compiled form, which needs numba.
        return ids, valid, resolve(traces, actions, VOCAB, backend=Backend.VECTORISED)


def policy(attention: str, shape: Shape, device: torch.device, *, tokens: int = TOKENS) -> Any:
    """Return a random Qwen3 with sharp predictions, in float32; the same weights for every attention.

    Args:
        attention: The implementation of attention, by transformers' name.
        shape: How large it is.
        device: Where it is made.
        tokens: Number of rows of its head.
    """
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=tokens, hidden_size=shape.hidden, intermediate_size=2 * shape.hidden,
        num_hidden_layers=shape.layers, num_attention_heads=4, num_key_value_heads=2,
        head_dim=shape.hidden // 4, max_position_embeddings=4096, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    config._attn_implementation = attention  # noqa: SLF001 - transformers has no public name for it
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Qwen3ForCausalLM(config).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(8)
    return model.to(device)


def batch(shape: Shape, device: torch.device) -> Batch:
    """Return prompts of two to nine tokens, and traces of one action to the longest."""
    generator = torch.Generator().manual_seed(0)

    def drawn(count: int) -> list[int]:
        return torch.randint(5, 40, (count,), generator=generator).tolist()

    lengths = torch.randint(1, shape.longest + 1, (shape.rows,), generator=generator).tolist()
    sizes = torch.randint(2, 10, (shape.rows,), generator=generator).tolist()
    edits = sorted(VOCAB.edit_ids)
    traces = []
    for length in [*lengths[1:], shape.longest]:
        kinds = torch.randint(0, 3 * len(edits), (length,), generator=generator).tolist()
        traces.append([edits[kind] if kind < len(edits) else token
                       for kind, token in zip(kinds, drawn(length), strict=True)])  # fmt: skip
    return Batch([drawn(size) for size in sizes], traces, device)
