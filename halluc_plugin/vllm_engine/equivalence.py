"""Recompute every action of an engine's answers by transformers, from the context that it sees.

An exact engine's answers agree with this. There is no cache, rewinding or batch: in hard context the live
tokens before each action are fed to the model as they are. The tests and ``halluc doctor --engine`` use this
module, which needs no vLLM.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from halluc_plugin.decoding.policy import EditPolicy
from halluc_plugin.edits import Context, EditVocab
from halluc_plugin.vllm_engine.request import EditRequest

VOCAB = EditVocab(40, step=41, step_delimiters=frozenset({3, 4}), restart=42)
"""The edit tokens of :func:`random_model`."""
EOS = 47
VOCAB_SIZE = 48


def random_model(path: Path) -> Any:
    """Make a small random Qwen2 with sharp predictions, one in sixteen an edit; save and return it.

    Args:
        path: The folder to write to; no tokenizer is written.
    """
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=VOCAB_SIZE,
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.1,
        tie_word_embeddings=False,
        eos_token_id=EOS,
        bos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Qwen2ForCausalLM(config).eval()
    model.save_pretrained(path)
    return model


@torch.no_grad()
def replay(
    model: Any,
    prompt: Sequence[int],
    ids: Sequence[int],
    request: EditRequest | None,
    *,
    temperature: float = 1.0,
    logit_bias: Mapping[int, float] | None = None,
    min_tokens: int = 0,
    stop_ids: Collection[int] = (),
) -> torch.Tensor:
    """Return the distribution from which each action of a trace should have been sampled.

    Args:
        model: A transformers causal language model in eval mode.
        prompt: Token ids of the prompt.
        ids: Token ids of the raw trace, Int[T].
        request: The edit settings of the request; None for a request without them.
        temperature: Sampling temperature; 0 is treated as 1.
        logit_bias: Numbers that are added to the logits, by id.
        min_tokens: Number of live tokens (in soft context: of sampled tokens) below which ``stop_ids`` are
            banned.
        stop_ids: Ids of EOS and stop tokens.

    Returns:
        Log-probabilities after bias, bans and temperature, Float[T, vocabulary].
    """
    hard = request is not None and request.context is Context.HARD
    policy = None
    if request is not None:
        policy = EditPolicy(
            request.vocab, budget=request.budget, boundary=request.boundary, tabu=request.tabu
        )
    rows = []
    for index, token_id in enumerate(ids):
        seen = list(policy.state.live_ids) if hard and policy is not None else list(ids[:index])
        logits = model(torch.tensor([[*prompt, *seen]], device=model.device)).logits[0, -1].float()
        for biased, bias in (logit_bias or {}).items():
            logits[biased] += bias
        banned = set(policy.banned()) if policy is not None else set()
        if len(seen) < min_tokens:
            banned |= set(stop_ids)
        logits[sorted(banned)] = -torch.inf
        rows.append((logits / (temperature or 1.0)).log_softmax(-1))
        if policy is not None:
            policy.push(token_id)
    return torch.stack(rows)
