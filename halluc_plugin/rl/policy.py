"""Log-probs of sampled actions as they were sampled: in their context, what was banned out of the softmax."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halluc_plugin.edits import Context, Resolution, pad_rows
from halluc_plugin.edits.builders import budget_mask
from halluc_plugin.hard import ActionScores, ban_edits, score_actions, without_unknown
from halluc_plugin.settings import Settings


def score_policy(
    model: Any,
    prompts: Sequence[Sequence[int]],
    resolution: Resolution,
    settings: Settings,
    *,
    temperature: float = 1.0,
) -> ActionScores:
    """Score raw traces, with gradients.

    Args:
        model: A transformers causal language model; in hard context one whose attention can follow a tree.
        prompts: B prompts.
        resolution: Of the B responses, padded on the right; on any device.
        settings: Of the step they were sampled in: its context, budget and boundary.
        temperature: Of the sampling.

    Returns:
        The scores, on the model's device.

    Raises:
        TraceError: An edit stands where the settings ban it.
    """
    resolution = resolution.to(model.device)
    banned = budget_mask(resolution, settings.max_backtracks, settings.boundary)
    if settings.context is Context.HARD:
        ids, valid = (padded.to(model.device) for padded in pad_rows(prompts))
        return score_actions(model, ids, valid, resolution, temperature=temperature, edits_banned=banned)
    return _score_soft(model, prompts, resolution, banned, temperature)


def _score_soft(
    model: Any, prompts: Sequence[Sequence[int]], resolution: Resolution, banned: Tensor, temperature: float
) -> ActionScores:
    """A causal forward over prompts and responses, one behind the other."""
    responses = [ids[valid].tolist() for ids, valid in zip(resolution.ids, resolution.valid, strict=True)]
    whole = pad_rows([[*p, *r] for p, r in zip(prompts, responses, strict=True)])
    ids, valid = (padded.to(model.device) for padded in whole)
    logits = model(input_ids=ids, attention_mask=valid.long(), use_cache=False).logits
    rows, actions = resolution.valid.nonzero(as_tuple=True)
    before = torch.tensor([len(prompt) - 1 for prompt in prompts], device=rows.device)[rows] + actions
    logits = without_unknown(logits[rows, before].float() / temperature, resolution.vocab)
    return ActionScores(resolution, ban_edits(logits, resolution, banned))
