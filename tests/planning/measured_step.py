"""Peaks of real training steps on a CPU, by what torch's allocator hands out."""

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from halluc_plugin.acceptance.peaks import peak_bytes
from halluc_plugin.edits import Context, EditVocab, resolve
from halluc_plugin.hard import Statistic, score_actions

VOCAB = EditVocab(backtrack=5)
EVENTS, DEEP = 10, 3


def small_config(*, rows, hidden, layers, tied=False):
    """A Qwen3 of a few heads."""
    config = Qwen3Config(
        vocab_size=rows, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, head_dim=hidden // 4, max_position_embeddings=4096,
        tie_word_embeddings=tied,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    return config


def measured_peak(config, *, prompt, response, rows, context=None, checkpointing=False):
    """The largest sum of bytes of tensors during the second of two steps of AdamW, in bytes.

    A step has two micro-batches of ``rows`` rows; their loss is that of a policy gradient. What exists when
    the step begins is weights, gradients and the optimizer's moments, all of known size; what is allocated
    after that is counted by :mod:`halluc_plugin.acceptance.peaks`.

    Args:
        config: The model's.
        prompt: Tokens of each prompt.
        response: Actions of each response.
        rows: Rows of a micro-batch.
        context: Hard or soft, read by :func:`halluc_plugin.hard.score_actions`; None for a causal forward
            pass with all logits.
        checkpointing: Whether layers are computed again in the backward pass.
    """
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(config).train()
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    batches = [_batch(config.vocab_size, prompt, response, rows) for _ in range(2)]
    _step(model, optimizer, batches, context)
    peak = peak_bytes(lambda: _step(model, optimizer, batches, context), torch.device("cpu"))
    return 4 * 4 * sum(weight.numel() for weight in model.parameters()) + peak


def _batch(tokens, prompt, response, rows):
    ids = torch.randint(10, tokens, (rows, response))
    for at in range(10, response - 10, max(1, response // EVENTS)):
        ids[:, at : at + DEEP] = VOCAB.backtrack
    return torch.randint(10, tokens, (rows, prompt)), ids


def _step(model, optimizer, batches, context):
    optimizer.zero_grad(set_to_none=False)  # gradients stay where they are: they are held, and not counted
    for prompts, ids in batches:
        _loss(model, prompts, ids, context).backward()
    optimizer.step()


def _loss(model, prompts, ids, context):
    if context is None:
        logits = model(torch.cat([prompts, ids], 1), use_cache=False).logits
        log_p = logits[:, prompts.shape[1] - 1 : -1].log_softmax(-1)
        return -log_p.gather(-1, ids[..., None]).mean()
    resolution = resolve(ids, torch.ones_like(ids, dtype=torch.bool), VOCAB)
    scores = score_actions(
        model, prompts, torch.ones_like(prompts, dtype=torch.bool), resolution,
        context=Context(context), wanted=(Statistic.LOG_PROB,),
    )  # fmt: skip
    return -scores.log_probs.mean()
