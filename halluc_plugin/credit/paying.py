"""Pay every action of a batch for what it, its step or its event did: one function for all trainers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from halluc_plugin.credit.forms import CreditForm, gain, least_to_come, q_value, sibling_gain, verdict
from halluc_plugin.credit.states import judged_states, tree_states
from halluc_plugin.credit.units import divide

if TYPE_CHECKING:
    from halluc_plugin.edits import Resolution


def pay_actions(
    resolution: "Resolution",
    groups: Tensor,
    rewards: Tensor,
    *,
    form: CreditForm,
    places: Sequence[Iterable[int]] | None,
    known: Sequence[Mapping[int, float]] | None,
) -> Tensor:
    """Return the pay of each action, in units of value.

    Args:
        resolution: B traces of width T on the CPU, padded on the right.
        groups: Number of each trace's group from 0, Long[B].
        rewards: Reward of each trace, Float[B].
        form: What a unit is paid.
        places: For each trace the columns of the states between two units; None if each action is one.
        known: The values of states by their column, for each trace, by a judge, that of the answer at
            ``raw_length``; None for the prefix tree of the group.

    Returns:
        Double[B, T], 0 at padding.

    Raises:
        TraceError: A judge gave no value to an answer.
    """
    units = divide(resolution, places)
    if known is None:
        values = tree_states(resolution, groups, rewards)
    else:
        values = judged_states(resolution, known, groups)
    if form is CreditForm.GAIN:
        pay = gain(values, units)
    elif form is CreditForm.SIBLINGS:
        pay = sibling_gain(values, tree_states(resolution, groups, rewards.double().square()), units)
    elif form is CreditForm.MIN:
        pay = least_to_come(values, units, resolution, groups)
    elif form is CreditForm.Q:
        pay = q_value(values, units, resolution)
    else:
        pay = verdict(values, units)
    return pay * resolution.valid
