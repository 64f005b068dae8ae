"""Compute the advantages of answers relative to their group, and spread them over actions."""

import torch
from torch import Tensor

from halluc_plugin.errors import TraceError


def require_finite(rewards: Tensor) -> None:
    """Refuse rewards that are not finite numbers, since one would spoil its whole group.

    Args:
        rewards: The reward of each answer, Float[B].

    Raises:
        TraceError: A reward is nan or infinite.
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
    """Return rewards relative to their group.

    This is GRPO, arXiv 2402.03300 section 4.1.2; without the division by the standard deviation it is Dr.
    GRPO, arXiv 2503.20783.

    Args:
        rewards: The reward of each answer, Float[B].
        groups: The number of each answer's prompt, in 0..G-1, Long[B].
        normalize_by_std: Whether to divide by the group's unbiased standard deviation.
        epsilon: Number added to the standard deviation.

    Returns:
        The advantage of each answer, Float[B]. An answer alone in its group has nothing to be compared with:
        its reward is returned (over ``1 + epsilon`` when normalising), as in verl.

    Raises:
        TraceError: The shapes differ, or a reward is not finite.
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
    """Return advantages of actions: each unmasked one gets its answer's, plus a credit of its own.

    Args:
        advantages: The advantage of each answer, Float[B].
        response_mask: Nonzero for actions that contribute to the loss, Bool[B, T] or a number.
        token_credit: Credit of each action in units of normalised advantage, Float[B, T], None for no credit.
            It is added after the group normalisation, which would otherwise cancel what all answers of a
            group share.

    Returns:
        The advantage of each action, Float[B, T], zero where masked.

    Raises:
        TraceError: The shapes do not fit.
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
