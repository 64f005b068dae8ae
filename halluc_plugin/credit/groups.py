"""Advantages of answers relative to their group, and their way to actions."""

import torch
from torch import Tensor

from halluc_plugin.errors import TraceError


def require_finite(rewards: Tensor) -> None:
    """Refuse a reward that is no finite number: it would spoil its whole group.

    Args:
        rewards: Float[B], one per answer.

    Raises:
        TraceError: One is nan or infinite.
    """
    broken = (~torch.isfinite(rewards)).nonzero().flatten().tolist()
    if broken:
        raise TraceError(
            f"{len(broken)} of {rewards.numel()} rewards are no finite numbers, the first of them answer "
            f"{broken[0]} with {float(rewards.flatten()[broken[0]])}.",
            "Mend the reward function: it must return a finite number for every answer.",
        )


def group_relative(
    rewards: Tensor, groups: Tensor, *, normalize_by_std: bool = True, epsilon: float = 1e-6
) -> Tensor:
    """Rewards relative to their group.

    GRPO, arXiv 2402.03300 section 4.1.2; without the deviation: Dr. GRPO, arXiv 2503.20783.

    Args:
        rewards: Float[B], one per answer.
        groups: Long[B] with values in 0..G-1: which answers share a prompt.
        normalize_by_std: Divide by the group's unbiased standard deviation.
        epsilon: Added to the standard deviation.

    Returns:
        Float[B]. An answer alone in its group has nothing to be compared with: its reward is returned (over
        ``1 + epsilon`` when normalising), as in verl.

    Raises:
        TraceError: Shapes differ, or as :func:`require_finite`.
    """
    require_finite(rewards)
    if rewards.shape != groups.shape or rewards.dim() != 1:
        raise TraceError(
            f"rewards {tuple(rewards.shape)} and groups {tuple(groups.shape)} are not one number per answer.",
            "Pass two vectors of one length.",
        )
    num_groups = int(groups.max()) + 1 if groups.numel() else 0
    # In float64 the mean of equal float32 rewards is exact: a group without contrast gets exactly 0.
    values = rewards.double()

    def per_group(x: Tensor) -> Tensor:
        return x.new_zeros(num_groups).index_add_(0, groups, x)

    size = per_group(torch.ones_like(values))
    alone = size <= 1
    mean = torch.where(alone, 0.0, per_group(values) / size.clamp(min=1))
    advantages = values - mean[groups]
    if normalize_by_std:
        variance = per_group(advantages.square()) / (size - 1).clamp(min=1)
        std = torch.where(alone, 1.0, variance.sqrt())
        advantages = advantages / (std[groups] + epsilon)
    return advantages.to(rewards.dtype)


def spread(advantages: Tensor, response_mask: Tensor, token_credit: Tensor | None = None) -> Tensor:
    """Give every unmasked action its answer's advantage, plus a credit of its own.

    Args:
        advantages: Float[B], one per answer.
        response_mask: Bool or number[B, T]: the actions that learn.
        token_credit: Float[B, T] in units of normalised advantage, added after the group normalisation (which
            would otherwise cancel what all answers of a group share); None for none.

    Returns:
        Float[B, T], zero where masked.

    Raises:
        TraceError: Shapes do not fit.
    """
    shape = response_mask.shape
    if advantages.shape != shape[:1] or (token_credit is not None and token_credit.shape != shape):
        credit_shape = None if token_credit is None else tuple(token_credit.shape)
        raise TraceError(
            f"advantages {tuple(advantages.shape)}, response_mask {tuple(shape)} and token_credit "
            f"{credit_shape} do not fit.",
            "Pass [B], [B, T] and [B, T].",
        )
    per_token = advantages[:, None].expand(shape)
    if token_credit is not None:
        per_token = per_token + token_credit
    return per_token * response_mask.to(advantages.dtype)
