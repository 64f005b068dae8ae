"""Compute which parts of a reward reach the gradient after group normalisation."""

from collections.abc import Hashable, Mapping, Sequence

import torch
from torch import Tensor

from halluc_plugin.credit import group_relative
from halluc_plugin.metrics import reward_degeneracy
from halluc_plugin.rewards.settings import RewardSettings

ROUNDING = 1e-9
"""Relative difference of rewards that is attributed to rounding of floating-point sums."""


def unchanged_groups(
    parts: Sequence[Mapping[str, float]],
    groups: Sequence[Hashable],
    settings: RewardSettings,
    *,
    normalize_by_std: bool = True,
) -> dict[str, float]:
    """Return the shares of groups in which the reward, and each of its components, has no effect.

    Args:
        parts: Every registered component of each of N answers, unweighted.
        groups: A key for each answer; answers to one prompt have the same.
        settings: The settings with the weights.
        normalize_by_std: Whether to divide by the standard deviation; see
            :func:`halluc_plugin.credit.group_relative`.

    Returns:
        Shares in [0, 1]. ``groups`` is the share whose answers all earn the same, so that nothing is learned
        from them. Each component with a weight has the share whose advantages would be the same without it.
    """
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    index = torch.tensor([numbers[group] for group in groups])

    def advantages(without: str | None) -> torch.Tensor:
        weights = {name: 0.0 if name == without else weight for name, weight in settings.weights.items()}
        paid = [sum(weight * part[name] for name, weight in weights.items()) for part in parts]
        rewards = torch.tensor(paid, dtype=torch.float64)
        if normalize_by_std:
            terms = [sum(abs(weight * part[name]) for name, weight in weights.items()) for part in parts]
            rewards = _in_units_of_their_range(rewards, torch.tensor(terms, dtype=torch.float64), index)
        return group_relative(rewards, index, normalize_by_std=normalize_by_std)

    full = advantages(None)
    weighted = [name for name, weight in settings.weights.items() if weight]
    return {
        "groups": reward_degeneracy(full, torch.zeros_like(full), groups).value,
        **{name: reward_degeneracy(full, advantages(name), groups).value for name in weighted},
    }


def _in_units_of_their_range(rewards: Tensor, terms: Tensor, groups: Tensor) -> Tensor:
    """Rewards from 0 to 1 in each group that has a contrast.

    Dividing by the deviation removes any scale, but for the epsilon that is added to it: small rewards are
    divided by a little more than large ones, and a mere rescaling would count as a change. ``terms`` are the
    sums of what was added up, without signs: they say how far rewards may be apart by rounding alone.
    """
    empty = rewards.new_zeros(int(groups.max()) + 1)

    def of_group(values: Tensor, extreme: str) -> Tensor:
        return empty.scatter_reduce(0, groups, values, extreme, include_self=False)[groups]

    low, span = of_group(rewards, "amin"), of_group(rewards, "amax") - of_group(rewards, "amin")
    flat = span <= ROUNDING * of_group(terms, "amax")
    # All answers alike: the lowest of them for each, so that rounding makes no contrast.
    return torch.where(flat, low, (rewards - low) / torch.where(flat, 1.0, span))
