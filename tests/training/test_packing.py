"""Soft context on packed rows: the loss and gradients of padded rows, where the model can be packed."""

from types import SimpleNamespace

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.edits import Context, EditVocab
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.training import packing
from halluc_plugin.training.dataset import TraceCollator, TreeCollator
from halluc_plugin.training.packing import packs_soft_rows
from halluc_plugin.training.trainer import TraceTrainer

VOCAB = EditVocab(backtrack=5)
SMALL = {"vocab_size": 40}
GPT2 = GPT2Config(**SMALL, n_positions=64, n_embd=16, n_layer=2, n_head=2)
NEO = GPTNeoConfig(
    **SMALL, max_position_embeddings=64, hidden_size=16, num_layers=2, num_heads=2,
    attention_types=[[["global"], 2]],
)  # fmt: skip


def mistral(window):
    """A model whose layers see so many tokens; None for all."""
    return MistralForCausalLM(
        MistralConfig(
            **SMALL, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, max_position_embeddings=64, sliding_window=window,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("made", "packs"),
    [
        (lambda: GPT2LMHeadModel(GPT2), True),
        (lambda: mistral(None), True),
        (lambda: mistral(8), False),
        (lambda: GPTNeoForCausalLM(NEO), False),
    ],
    ids=["gpt2", "mistral", "a window", "attention of its own"],
)
def test_models_that_can_are_packed(made, packs):
    """Full attention that transformers looks up is packed; windows and attention of its own are padded."""
    assert packs_soft_rows(made(), VOCAB, bf16=False) is packs


def test_a_head_that_is_not_what_it_seems_is_padded():
    """A model whose own logits are others than those that are read of its head trains as it did before."""
    model = mistral(None)
    stock = model.forward

    def other(*args, **kwargs):
        output = stock(*args, **kwargs)
        if output.logits.shape[1] > 1:  # not where it is asked for a single position
            output.logits = output.logits * 3
        return output

    model.forward = other
    assert not packs_soft_rows(model, VOCAB, bf16=False)


def test_an_accelerator_keeps_the_path_of_transformers(monkeypatch):
    """Packed rows in soft context were tried on CPUs alone."""
    monkeypatch.setattr(packing.torch.accelerator, "is_available", lambda: True)
    assert not packs_soft_rows(mistral(None), VOCAB, bf16=False)


@pytest.mark.parametrize("erased", [ErasedTokens.KEEP, ErasedTokens.MASK])
def test_loss_and_gradients_are_those_of_padded_rows(tmp_path, erased):
    """Ragged rows with edits, one of them all edits, another of one token: equal up to rounding."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    vocab = vocab_of(tokenizer)
    b = vocab.backtrack
    rows = [
        TraceRow([3, 4, 6], [7, 8, b, b, 9, 3, 8, b, 4, 1]),
        TraceRow([3], [b, b]),
        TraceRow([3, 4], [1]),
    ]
    found = []
    for build in (TraceCollator, TreeCollator):
        model = new_model(tokenizer, Size.TINY, seed=0)
        trainer = TraceTrainer.__new__(TraceTrainer)
        trainer._vocab, trainer._context = vocab, Context.SOFT
        trainer.accelerator = SimpleNamespace(num_processes=1)
        loss = trainer.compute_loss(model, build(vocab, 0, erased)(rows), num_items_in_batch=7)
        loss.backward()
        found.append((loss.detach(), {name: x.grad for name, x in model.named_parameters()}))
    (loss, padded), (other, packed) = found
    torch.testing.assert_close(loss, other)
    for name, gradient in padded.items():
        torch.testing.assert_close(gradient, packed[name], rtol=1e-4, atol=1e-5)
