"""Value every state of a group's traces that is known: by the group itself, or by a judge.

The state of column c is what is live before the action of that column; that of column ``raw_length`` is the
answer. All matrices here are Double[B, T + 1], one column for each state.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from halluc_plugin.credit._prefix_values import reached_values
from halluc_plugin.errors import TraceError

if TYPE_CHECKING:
    from halluc_plugin.edits import Resolution


def tree_states(resolution: "Resolution", groups: Tensor, rewards: Tensor) -> Tensor:
    """Return the mean reward of the group's answers that passed through each state.

    An answer counts once however often it passed, and a state is a collapsed prefix: the value V(s) of TEMPO
    (arXiv 2509.18314, prefix to tree), where prefixes without edits are raw ones.

    Args:
        resolution: B traces of width T on the CPU, padded on the right.
        groups: Number of each trace's group from 0, Long[B].
        rewards: Reward of each trace, Float[B].

    Returns:
        Double[B, T + 1], 0 behind a trace's end.
    """
    found = reached_values(resolution, groups.numpy(), rewards.double().numpy())
    reached, empty = (torch.from_numpy(array) for array in found)
    with_empty = torch.cat([empty[:, None], reached], 1)
    columns = torch.arange(1, resolution.ids.shape[1] + 1)
    last = torch.where(resolution.live, columns, 0).amax(1) if len(columns) else torch.zeros(len(empty))
    values = torch.zeros(len(empty), len(columns) + 1, dtype=torch.float64)
    values[:, :-1] = with_empty.gather(1, resolution.parent + 1) * resolution.valid
    ends = with_empty.gather(1, last.long()[:, None])
    return values.scatter(1, resolution.raw_length[:, None], ends)


def judged_states(resolution: "Resolution", known: Sequence[Mapping[int, float]], groups: Tensor) -> Tensor:
    """Return the values that a judge gave to some states.

    The bare prompt, which nobody judges, has the mean value of the other answers of its group: their values
    are independent of what this one wrote, so its first unit has an unbiased baseline. An answer alone in its
    group has its own.

    Args:
        resolution: B traces of width T, padded on the right.
        known: For each trace the values of states by their column, the answer's own at ``raw_length``.
        groups: Number of each trace's group from 0, Long[B].

    Returns:
        Double[B, T + 1], 0 where nothing is known.

    Raises:
        TraceError: A trace has no value of its answer.
    """
    values = torch.zeros(len(known), resolution.ids.shape[1] + 1, dtype=torch.float64)
    lengths = resolution.raw_length.tolist()
    for row, (of_row, length) in enumerate(zip(known, lengths, strict=True)):
        if length not in of_row:
            raise TraceError(
                f"Trace {row} has {length} actions and values of the states {sorted(of_row)}.",
                "Give the value of the answer itself, too.",
            )
        columns = torch.tensor(list(of_row), dtype=torch.long)
        values[row, columns] = torch.tensor([*of_row.values()], dtype=torch.float64)
    finals = values.gather(1, resolution.raw_length[:, None])[:, 0]
    values[:, 0] = torch.where(resolution.raw_length == 0, finals, mean_of_others(finals, groups))
    return values


def mean_of_others(numbers: Tensor, groups: Tensor) -> Tensor:
    """Return the mean of the other members of each one's group, its own number if it is alone, Double[B]."""
    total = numbers.new_zeros(int(groups.max()) + 1 if len(groups) else 0).index_add_(0, groups, numbers)
    count = torch.zeros_like(total).index_add_(0, groups, torch.ones_like(numbers))
    others = (total[groups] - numbers) / (count[groups] - 1).clamp(min=1)
    return torch.where(count[groups] > 1, others, numbers)
