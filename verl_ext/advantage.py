"""The advantage estimator ``backtrack_grpo`` for verl."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from verl.trainer.ppo.core_algos import register_adv_est

from halluc_plugin.credit import group_relative, spread


@register_adv_est("backtrack_grpo")
def backtrack_grpo(
    token_level_rewards: Tensor, response_mask: Tensor, index: np.ndarray, config: Any = None, **_: Any
) -> tuple[Tensor, Tensor]:
    """Return group-relative advantages at the unmasked actions.

    Without a mask inside the answers they are those of verl's ``grpo``.

    Args:
        token_level_rewards: Rewards of the actions, Float[B, T]; an answer's reward is their sum.
        response_mask: Nonzero for actions that contribute to the loss, Bool[B, T] or a number; the agent loop
            masks erased tokens.
        index: The uid of each answer's prompt, Object[B], equal within a group.
        config: The ``algorithm`` block; ``norm_adv_by_std_in_grpo`` is read (default true).

    Returns:
        Advantages and returns, the same tensor, Float[B, T].
    """
    normalize_by_std = True if config is None else bool(config.get("norm_adv_by_std_in_grpo", True))
    groups = torch.from_numpy(np.unique(index, return_inverse=True)[1]).to(token_level_rewards.device)
    with torch.no_grad():
        advantages = group_relative(
            token_level_rewards.sum(dim=-1), groups, normalize_by_std=normalize_by_std
        )
        per_token = spread(advantages, response_mask)
    return per_token, per_token
