"""Which parts of a reward reach the gradient: group normalisation removes what groups do not differ in."""

from collections.abc import Hashable, Mapping, Sequence

import torch

from halluc_plugin.credit import group_relative
from halluc_plugin.metrics import reward_degeneracy
from halluc_plugin.settings import RewardSettings


def unchanged_groups(
    parts: Sequence[Mapping[str, float]],
    groups: Sequence[Hashable],
    settings: RewardSettings,
    *,
    normalize_by_std: bool = True,
) -> dict[str, float]:
    """Shares of groups to which the reward, and each of its components, says nothing.

    Args:
        parts: Of N answers, every registered component, unweighted.
        groups: N names; answers to one prompt have the same.
        settings: The weights.
        normalize_by_std: As :func:`halluc_plugin.credit.group_relative`.

    Returns:
        ``groups``: share whose answers all earn the same, so that nothing is learned from them. For each
        component with a weight: share whose advantages would be the same without it.
    """
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    index = torch.tensor([numbers[group] for group in groups])

    def advantages(without: str | None) -> torch.Tensor:
        weights = {name: 0.0 if name == without else weight for name, weight in settings.weights.items()}
        rewards = [sum(weight * part[name] for name, weight in weights.items()) for part in parts]
        return group_relative(
            torch.tensor(rewards, dtype=torch.float64), index, normalize_by_std=normalize_by_std
        )

    full = advantages(None)
    weighted = [name for name, weight in settings.weights.items() if weight]
    return {
        "groups": reward_degeneracy(full, torch.zeros_like(full), groups).value,
        **{name: reward_degeneracy(full, advantages(name), groups).value for name in weighted},
    }
