"""Make pay of values: what the actions of a unit get for the states before and after it."""

from enum import StrEnum
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from halluc_plugin.credit.states import mean_of_others
from halluc_plugin.credit.units import Units

if TYPE_CHECKING:
    from halluc_plugin.edits import Resolution

TEMPERATURE = 0.1
"""PURE's temperature of the softmin over a trace's process rewards (from memory of arXiv 2504.15275)."""
RIGHT = 0.5
"""Value from which on a state counts as right."""


class CreditForm(StrEnum):
    """What a unit is paid."""

    GAIN = "gain"
    """The value after it less the value before it, a temporal difference."""
    SIBLINGS = "siblings"
    """The gain in units of the deviation of rewards behind the state before it."""
    MIN = "min"
    """The least value that is still to come, less what other answers of the group have."""
    VERDICT = "verdict"
    """-1 for a unit that made a right state wrong, 0 for any other."""
    Q = "q"
    """The Q of an action, less what the other answers of the group came to."""


def gain(values: Tensor, units: Units) -> Tensor:
    """Return the value after each action's unit less the value before it, Double[B, T].

    Args:
        values: The value of each state, Double[B, T + 1].
        units: The units of the actions.
    """
    return values.gather(1, units.stop) - values.gather(1, units.start)


def sibling_gain(values: Tensor, squares: Tensor, units: Units) -> Tensor:
    """Return the gain over the deviation of rewards behind the state before the unit.

    TreeRPO (arXiv 2506.05183) compares a step's value with those of the steps sampled at the same state.
    Among answers of a group their mean, each counted as often as it was taken, is the state's own value. The
    deviation is that of single rewards, for rewards 0 and 1 the root of V (1 - V) (from memory of the paper).

    Args:
        values: The value of each state, Double[B, T + 1].
        squares: The mean of squared rewards behind each state, Double[B, T + 1].
        units: The units of the actions.

    Returns:
        Double[B, T], 0 where all answers through the state before the unit earn the same.
    """
    before = values.gather(1, units.start)
    deviation = (squares.gather(1, units.start) - before.square()).clamp(min=0).sqrt()
    known = deviation > 1e-6
    return torch.where(known, gain(values, units) / torch.where(known, deviation, 1.0), 0.0)


def least_to_come(values: Tensor, units: Units, resolution: "Resolution", groups: Tensor) -> Tensor:
    """Return PURE's min-form return from each unit on, less the mean of the other answers' whole returns.

    Process rewards r_k in [-1, 1] are 2 v - 1 of the values v after the units of the resolved text. Each is
    weighted by softmax(-r / T) over its trace, and the weighted ones are summed from a unit on: as T falls
    that is the least of all for units up to the worst, and 0 behind it (arXiv 2504.15275, from memory). Units
    that were erased, and edits, have no reward of their own: they get the return of what follows.

    Args:
        values: The value of each state, Double[B, T + 1].
        units: The units of the actions.
        resolution: B traces of width T.
        groups: Number of each trace's group from 0, Long[B].

    Returns:
        Double[B, T].
    """
    counted = units.first & ~units.any_of(resolution.is_edit | resolution.erased)
    rewards = 2 * values.gather(1, units.stop) - 1
    weights = torch.where(counted, -rewards / TEMPERATURE, float("-inf")).exp()
    weighted = rewards * weights / weights.sum(1, keepdim=True).clamp(min=1e-12)
    to_come = torch.where(counted, weighted, 0.0).flip(1).cumsum(1).flip(1)
    to_come = torch.nn.functional.pad(to_come, (0, 1))
    others = mean_of_others(to_come[:, 0], groups)
    return to_come.gather(1, units.start) - others[:, None]


def verdict(values: Tensor, units: Units) -> Tensor:
    """Return -1 for units that made a right state wrong, 0 for others, Double[B, T].

    CAPO (arXiv 2508.02298) takes W_process off the reward of each token of a wrong step. A step is wrong if
    the state after it is and the state before it is not; the bare prompt is right.

    Args:
        values: The value of each state, Double[B, T + 1].
        units: The units of the actions.
    """
    before = torch.where(units.start == 0, 1.0, values.gather(1, units.start))
    return -((before >= RIGHT) & (values.gather(1, units.stop) < RIGHT)).double()


def q_value(values: Tensor, units: Units, resolution: "Resolution") -> Tensor:
    """Return the value of the state after each action less that of the bare prompt.

    Q-RM (arXiv 2505.23363) takes for the advantage of a token its Q, which the logits Z of a discriminative
    policy are linear in. Whatever does not depend on the action may be taken off: here the mean of the other
    answers' last values, which is also what a state without text is worth.

    Args:
        values: The value of each state, Double[B, T + 1].
        units: The units of the actions, each of which is one.
        resolution: B traces of width T.

    Returns:
        Double[B, T], 0 for actions behind which nothing is live.
    """
    width = resolution.ids.shape[1]
    following = torch.nn.functional.pad(resolution.depth[:, 1:], (0, 1))[:, :width]
    last = torch.arange(width) + 1 == resolution.raw_length[:, None]
    left = torch.where(last, resolution.live.sum(1, keepdim=True), following)
    return torch.where(left > 0, values.gather(1, units.stop) - values[:, :1], 0.0)
