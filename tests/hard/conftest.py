"""Small random models of several families, and ragged traces."""

import torch
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from halluc_plugin.edits import EditVocab, pad_rows, resolve_rows

VOCAB = EditVocab(backtrack=40, step=41, step_delimiters=frozenset({3}), restart=42, size=46)
SMALL = {
    "vocab_size": 48, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0,
}  # fmt: skip
FULL = ["full_attention"] * 2
NEO = {"num_layers": 2, "num_heads": 4, "attention_types": [[["global"], 2]]}
GPT2 = {"vocab_size": 48, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
FAMILIES = {
    "qwen2": (Qwen2Config(**SMALL, tie_word_embeddings=True), Qwen2ForCausalLM),
    "qwen3": (Qwen3Config(**SMALL, head_dim=8), Qwen3ForCausalLM),
    "llama": (LlamaConfig(**SMALL), LlamaForCausalLM),
    "granite": (GraniteConfig(**SMALL, logits_scaling=3.0), GraniteForCausalLM),  # scales behind its head
    "gemma2": (Gemma2Config(**SMALL, head_dim=8, layer_types=FULL), Gemma2ForCausalLM),  # soft-caps there
    "phi": (PhiConfig(**SMALL), PhiForCausalLM),  # a bias
    "cohere": (CohereConfig(**SMALL), CohereForCausalLM),  # multiplies
    "gpt2": (GPT2Config(**GPT2), GPT2LMHeadModel),  # learned positions
    "gpt_neo": (  # asks nobody how to attend
        GPTNeoConfig(vocab_size=48, hidden_size=32, max_position_embeddings=128, **NEO),
        GPTNeoForCausalLM,
    ),
}
PROMPTS = [[1, 2, 3], [4], [5, 40, 6, 9], [7, 7], [8]]
TRACES = [
    [7, 8, 40, 40, 9, 40, 40, 40, 5, 3, 6, 41, 7],  # nested, an edit on an empty response, a step
    [1, 3, 2, 42, 9, 9],
    [40, 7],
    [],  # an empty answer
    [40, 41, 42, 40, 40],  # edits alone
]


def model_of(family, attention="sdpa"):
    """A small random model with sharp predictions."""
    torch.manual_seed(0)
    config, build = FAMILIES[family]
    config._attn_implementation = "eager" if family == "gpt_neo" else attention
    model = build(config).eval()
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(8)
    return model


def batch(prompts=PROMPTS, traces=TRACES, vocab=VOCAB):
    """Padded prompts and the resolution of padded traces."""
    return (*pad_rows(prompts), resolve_rows(traces, vocab))


def gradients(model, loss):
    """By name, of a backward of its own."""
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
