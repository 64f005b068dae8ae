"""Measure whether a reward component changes any advantage.

Group normalisation removes any component that is affine in the others, so a component can look sensible and
have no effect on training: with rewards 2 for right and -2 for wrong, the advantages are those of 1 and 0.
"""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics.intervals import Proportion


def reward_degeneracy(
    with_component: npt.ArrayLike,
    without_component: npt.ArrayLike,
    groups: Sequence[Hashable],
    *,
    tolerance: float = 1e-6,
) -> Proportion:
    """Return the share of groups whose advantages a reward component leaves unchanged.

    Groups without any reward difference count as unchanged, too.

    Args:
        with_component: Normalised advantages of N samples under the full reward, Float[N].
        without_component: Normalised advantages with the component's weight at zero, Float[N].
        groups: The group of each sample, N keys.
        tolerance: A group is unchanged when no advantage moves by this much. verl's group normalisation adds
            1e-6 to the standard deviation, so a mere rescaling of rewards moves advantages by about 1e-6
            over it: pass advantages of rewards in units of their range, as
            :func:`halluc_plugin.rewards.influence.unchanged_groups` does, or a larger tolerance.

    Raises:
        MetricError: Lengths differ, or an advantage is not finite.
    """
    full = np.asarray(with_component, dtype=np.float64)
    reduced = np.asarray(without_component, dtype=np.float64)
    if full.shape != reduced.shape or full.shape != (len(groups),):
        raise MetricError(
            f"Advantages of shapes {full.shape} and {reduced.shape} for {len(groups)} group ids.",
            "Pass one scalar advantage of each kind and one group id for every sample.",
        )
    if not (np.isfinite(full).all() and np.isfinite(reduced).all()):
        raise MetricError("An advantage is not finite.", "Check the rewards of its group.")
    change: dict[Hashable, float] = {}
    for group, moved in zip(groups, np.abs(full - reduced).tolist(), strict=True):
        change[group] = max(change.get(group, 0.0), moved)
    return Proportion.of(sum(moved < tolerance for moved in change.values()), len(change))
