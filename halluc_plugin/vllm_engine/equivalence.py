"""What an engine's answers must equal: every action recomputed by transformers from the context it sees.

No cache, no rewinding, no batch: in hard context the live tokens before each action are fed to the model as
they are. Used by the tests and by ``halluc doctor --engine``; needs no vLLM.
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
    """Save a small random Qwen2 with sharp predictions, of which one in sixteen is an edit, and return it.

    Args:
        path: Folder to write; no tokenizer is written.
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
    """The distribution that each action of a trace was to be sampled from.

    Args:
        model: A transformers causal language model in eval mode.
        prompt: Token ids.
        ids: The raw trace.
        request: What was asked of the engine, None for a request without settings of ours.
        temperature: Of the sampling; 0 is taken as 1.
        logit_bias: Added to the logits, by id.
        min_tokens: While fewer tokens are live (in soft context: sampled), ``stop_ids`` are banned.
        stop_ids: EOS and stop ids.

    Returns:
        Float[T, vocabulary] log-probabilities after bias, bans and temperature.
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
        logits = model(torch.tensor([[*prompt, *seen]])).logits[0, -1].float()
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
