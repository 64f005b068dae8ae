"""Compute the log-probs of sampled actions as they were sampled: in their context, with their bans."""

from collections.abc import Sequence
from typing import Any

from halluc_plugin.edits import Resolution, pad_rows
from halluc_plugin.edits.builders import budget_mask
from halluc_plugin.hard import ActionScores, score_actions
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
        prompts: The token ids of B prompts.
        resolution: The resolution of the B responses, padded on the right, on any device.
        settings: The settings of the step in which they were sampled: its context, budget and boundary.
        temperature: The sampling temperature.

    Returns:
        The scores of every action, on the model's device.

    Raises:
        TraceError: A trace has an edit where the settings ban it.
    """
    resolution = resolution.to(model.device)
    banned = budget_mask(resolution, settings.max_backtracks, settings.boundary)
    ids, valid = (padded.to(model.device) for padded in pad_rows(prompts))
    return score_actions(
        model,
        ids,
        valid,
        resolution,
        context=settings.context,
        temperature=temperature,
        edits_banned=banned if settings.bans_edits else None,
    )
