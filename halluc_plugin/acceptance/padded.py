"""Score traces as before rows were packed, an oracle: padded rows, dense masks, logits of all positions."""

from typing import Any

import torch

from halluc_plugin.edits import Resolution, logit_index, position_ids, tree_attention_mask
from halluc_plugin.hard import Attention, attention_of, without_unknown


def padded_logits(
    model: Any, prompt_ids: torch.Tensor, prompt_valid: torch.Tensor, resolution: Resolution
) -> torch.Tensor:
    """Return the logits that each valid action was sampled from, row by row.

    Args:
        model: A transformers causal language model with ``sdpa`` or ``eager``.
        prompt_ids: The token ids of the prompts, Long[B, P], padded on either side.
        prompt_valid: Which positions hold a prompt token, Bool[B, P].
        resolution: The resolution of the B responses.

    Returns:
        Float[N, V], in float32; -inf at ids that are not tokens.
    """
    order = prompt_valid.long().argsort(dim=1, stable=True)
    prompt_ids, prompt_valid = prompt_ids.gather(1, order), prompt_valid.gather(1, order)
    mask = tree_attention_mask(resolution, prompt_valid)[:, None]
    if attention_of(model.config) is Attention.EAGER:
        mask = torch.zeros_like(mask, dtype=model.dtype).masked_fill_(~mask, torch.finfo(model.dtype).min)
    output = model(
        input_ids=torch.cat([prompt_ids, resolution.ids], 1),
        attention_mask=mask,
        position_ids=position_ids(resolution, prompt_valid),
        logits_to_keep=resolution.ids.shape[1] + 1,
        use_cache=False,
    )
    rows, actions = resolution.valid.nonzero(as_tuple=True)
    width = output.logits.shape[1]
    left = prompt_ids.shape[1] + resolution.ids.shape[1] - width
    columns = logit_index(resolution, prompt_valid)[rows, actions] - left
    logits: torch.Tensor = output.logits.flatten(0, 1).index_select(0, rows * width + columns).float()
    return without_unknown(logits, resolution.vocab)


def padded_scores(
    model: Any,
    prompt_ids: torch.Tensor,
    prompt_valid: torch.Tensor,
    resolution: Resolution,
    *,
    temperature: float = 1.0,
    banned: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return log-prob, entropy and edit mass of each action, from full logits.

    Args:
        model: A transformers causal language model with ``sdpa`` or ``eager``.
        prompt_ids: The token ids of the prompts, Long[B, P], padded on either side.
        prompt_valid: Which positions hold a prompt token, Bool[B, P].
        resolution: The resolution of the B responses of width T.
        temperature: The sampling temperature.
        banned: Which actions were sampled while edits were banned, Bool[B, T]; None for none.

    Returns:
        Float[B, T] each, 0 at padding; log-probs and entropies in nats.
    """
    logits = padded_logits(model, prompt_ids, prompt_valid, resolution) / temperature
    edit_ids = torch.tensor(sorted(resolution.vocab.edit_ids), device=logits.device)
    if banned is not None:
        is_edit = torch.isin(torch.arange(logits.shape[-1], device=logits.device), edit_ids)
        logits = logits.masked_fill(banned[resolution.valid][:, None] & is_edit, -torch.inf)
    log_p = logits.log_softmax(-1)
    finite = log_p.where(log_p > -torch.inf, 0.0)
    found = (
        log_p.gather(-1, resolution.ids[resolution.valid][:, None])[:, 0],
        -(log_p.exp() * finite).sum(-1),
        log_p[:, edit_ids].exp().sum(-1),
    )
    valid = resolution.valid
    log_probs, entropies, masses = (x.new_zeros(valid.shape).masked_scatter(valid, x) for x in found)
    return log_probs, entropies, masses
