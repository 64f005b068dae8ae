"""The path before rows were packed, kept as an oracle: padded rows, dense masks, logits of all positions."""

import torch

from halluc_plugin.edits import logit_index, position_ids, tree_attention_mask


def padded_logits(model, prompt_ids, prompt_valid, resolution):
    """Float[N, V]: the logits that each valid action was sampled from, row by row.

    Args:
        model: A transformers causal language model with ``sdpa`` or ``eager``.
        prompt_ids: Long[B, P], padded on either side.
        prompt_valid: Bool[B, P].
        resolution: Of the responses.
    """
    order = prompt_valid.long().argsort(dim=1, stable=True)
    prompt_ids, prompt_valid = prompt_ids.gather(1, order), prompt_valid.gather(1, order)
    mask = tree_attention_mask(resolution, prompt_valid)[:, None]
    if "eager" in model.config._attn_implementation:
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
    logits = output.logits.flatten(0, 1).index_select(0, rows * width + columns).float()
    unknown = resolution.vocab.unknown_ids(logits.shape[-1])
    return logits.index_fill(-1, torch.tensor(unknown, dtype=torch.long), -torch.inf) if unknown else logits


def padded_scores(model, prompt_ids, prompt_valid, resolution, *, temperature=1.0, banned=None):
    """Log-prob, entropy and edit mass of each action (Float[B, T] each, 0 at padding), from full logits."""
    logits = padded_logits(model, prompt_ids, prompt_valid, resolution) / temperature
    edit_ids = torch.tensor(sorted(resolution.vocab.edit_ids))
    if banned is not None:
        is_edit = torch.isin(torch.arange(logits.shape[-1]), edit_ids)
        logits = logits.masked_fill(banned[resolution.valid][:, None] & is_edit, -torch.inf)
    log_p = logits.log_softmax(-1)
    finite = log_p.where(log_p > -torch.inf, 0.0)
    found = (
        log_p.gather(-1, resolution.ids[resolution.valid][:, None])[:, 0],
        -(log_p.exp() * finite).sum(-1),
        log_p[:, edit_ids].exp().sum(-1),
    )
    valid = resolution.valid
    return tuple(x.new_zeros(valid.shape).masked_scatter(valid, x) for x in found)
