"""Every action's log-prob in hard context by one forward over the raw traces."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from halluc_plugin.edits import EditVocab, Resolution
from halluc_plugin.errors import TraceError
from halluc_plugin.hard.inputs import tree_inputs
from halluc_plugin.hard.models import require_tree_attention


@dataclass(frozen=True)
class ActionScores:
    """What a policy says of the N valid actions of B raw traces of width T.

    Attributes:
        resolution: Of the traces.
        logits: Float[N, V], of the distributions they were sampled from, row by row; banned tokens and
            ids that are no token at -inf.
    """

    resolution: Resolution
    logits: torch.Tensor

    @cached_property
    def log_probs(self) -> torch.Tensor:
        """Float[B, T], log-probability of each action, edits and erased tokens included; 0 at padding."""
        ids = self.resolution.ids[self.resolution.valid]
        return self._in_rows(self._distribution.gather(-1, ids[:, None])[:, 0])

    @cached_property
    def entropy(self) -> torch.Tensor:
        """Float[B, T], entropy of the distribution each was sampled from, in nats; 0 at padding."""
        # A banned token has probability 0 and adds nothing: 0 * -inf is put right before it spoils gradients.
        finite = self._distribution.where(self._distribution > -torch.inf, 0.0)
        return self._in_rows(-(self._distribution.exp() * finite).sum(-1))

    @cached_property
    def edit_mass(self) -> torch.Tensor:
        """Float[B, T], probability that each action was an edit, whatever it was; 0 at padding."""
        rows = self.logits.shape[-1]
        ids = sorted(token_id for token_id in self.resolution.vocab.edit_ids if token_id < rows)
        return self._in_rows(self._distribution[:, ids].exp().sum(-1).clamp(max=1.0))

    @cached_property
    def _distribution(self) -> torch.Tensor:
        return self.logits.log_softmax(-1)

    def _in_rows(self, values: torch.Tensor) -> torch.Tensor:
        valid = self.resolution.valid
        return values.new_zeros(valid.shape).masked_scatter(valid, values)


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
        TraceError: The temperature is not positive, or shapes do not fit.
    """
    if temperature <= 0:
        raise TraceError(f"The temperature is {temperature}.", "Pass that of the sampling, above 0.")
    attention = require_tree_attention(model.config)
    inputs = tree_inputs(prompt_ids, prompt_valid, resolution, attention, model.dtype)
    output = model(**inputs.model_inputs(), logits_to_keep=inputs.logits_to_keep, use_cache=False)
    logits = without_unknown(inputs.at_actions(output.logits).float(), resolution.vocab)
    if temperature != 1:
        logits = logits / temperature
    if edits_banned is not None:
        logits = ban_edits(logits, resolution, edits_banned)
    return ActionScores(resolution, logits)


def without_unknown(logits: torch.Tensor, vocab: EditVocab) -> torch.Tensor:
    """Logits (Float[..., V]) with the ids that are no token at -inf, as they are sampled."""
    unknown = vocab.unknown_ids(logits.shape[-1])
    if not unknown:
        return logits
    return logits.index_fill(-1, torch.tensor(unknown, device=logits.device), -torch.inf)


def ban_edits(logits: torch.Tensor, resolution: Resolution, edits_banned: torch.Tensor) -> torch.Tensor:
    """Edit tokens at -inf where they could not be sampled.

    Args:
        logits: Float[N, V], of the valid actions, row by row.
        resolution: Of the traces.
        edits_banned: Bool[B, T], as :func:`score_actions`.
    """
    edit_ids = torch.tensor(sorted(resolution.vocab.edit_ids), device=logits.device)
    is_edit = torch.isin(torch.arange(logits.shape[-1], device=logits.device), edit_ids)
    return logits.masked_fill(edits_banned[resolution.valid][:, None] & is_edit, -torch.inf)
