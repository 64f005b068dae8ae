"""Every action's log-prob in hard context by one forward over the raw traces."""

from dataclasses import dataclass
from typing import Any

import torch

from halluc_plugin.edits import Resolution
from halluc_plugin.errors import TraceError
from halluc_plugin.hard.inputs import require_tree_attention, tree_inputs


@dataclass(frozen=True)
class ActionScores:
    """What a policy says of the actions of B raw traces of width T; zero at padding.

    Attributes:
        log_probs: Float[B, T], log-probability of each action, edits and erased tokens included.
        entropy: Float[B, T], entropy of the distribution each was sampled from, in nats.
    """

    log_probs: torch.Tensor
    entropy: torch.Tensor


def score_actions(
    model: Any,
    prompt_ids: torch.Tensor,
    prompt_valid: torch.Tensor,
    resolution: Resolution,
    *,
    temperature: float = 1.0,
    edits_banned: torch.Tensor | None = None,
) -> ActionScores:
    """Score raw traces in hard context, with gradients.

    The result is that of a forward from the collapsed prefix for each action by itself: the tree mask lets an
    action see the prompt and what was live, positions count live tokens only, and its logits are those of the
    last live token before it.

    Args:
        model: A transformers causal language model with full attention, loaded with ``sdpa``, ``eager`` or
            ``flex_attention``.
        prompt_ids: Long[B, P], padded on either side.
        prompt_valid: Bool[B, P].
        resolution: Of the B responses.
        temperature: Of the sampling.
        edits_banned: Bool[B, T], actions sampled while edit tokens were banned
            (:func:`halluc_plugin.edits.budget_mask`); None for none.

    Raises:
        SettingsError: The model's attention cannot follow a tree.
        TraceError: The temperature is not positive.
    """
    if temperature <= 0:
        raise TraceError(f"The temperature is {temperature}.", "Pass that of the sampling, above 0.")
    attention = require_tree_attention(model.config)
    inputs = tree_inputs(prompt_ids, prompt_valid, resolution, attention, model.dtype)
    hidden = model.base_model(**inputs.model_inputs(), use_cache=False).last_hidden_state
    # Logits at the actions only: the prompt's are never read.
    index = inputs.logit_index[..., None].expand(-1, -1, hidden.shape[-1])
    logits = model.get_output_embeddings()(hidden.gather(1, index)).float() / temperature
    if edits_banned is not None:
        edit_ids = torch.tensor(sorted(resolution.vocab.edit_ids), device=logits.device)
        is_edit = torch.isin(torch.arange(logits.shape[-1], device=logits.device), edit_ids)
        logits = logits.masked_fill(edits_banned[..., None] & is_edit, -torch.inf)
    return _scores(logits, resolution)


def _scores(logits: torch.Tensor, resolution: Resolution) -> ActionScores:
    distribution = logits.log_softmax(-1)
    # The ids of padding may be anything; only a valid one can be looked up.
    ids = resolution.ids.where(resolution.valid, 0)
    log_probs = distribution.gather(-1, ids[..., None])[..., 0]
    # A banned token has probability 0 and adds nothing: 0 * -inf is put right before it can spoil gradients.
    finite = distribution.where(distribution > -torch.inf, 0.0)
    entropy = -(distribution.exp() * finite).sum(-1)
    return ActionScores(log_probs.where(resolution.valid, 0.0), entropy.where(resolution.valid, 0.0))
