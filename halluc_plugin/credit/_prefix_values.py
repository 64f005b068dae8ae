"""Number and value the states of groups of traces in one compiled pass over the actions."""

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from halluc_plugin.edits import Resolution

NODE = np.dtype(
    [
        ("parent", np.int32),
        ("first_child", np.int32),  # most nodes have no other
        ("token", np.int64),
        ("passed", np.int32),  # the last trace that did
        ("times", np.int32),  # how many traces did
        ("total", np.float64),  # of their rewards
    ]
)
"""The layout of a state in memory, whose fields are next to each other since a pass reads all of them."""


def event_values(
    resolution: "Resolution", groups: np.ndarray, rewards: np.ndarray
) -> tuple[list[float], list[float], list[int]]:
    """Return the values of the states that the events of B traces left and reached.

    Args:
        resolution: B traces of width T on the CPU, padded on the right.
        groups: Number of each trace's group from 0, Long[B].
        rewards: Reward of each trace, Double[B].

    Returns:
        The values of the states before the effective events, those after them, both row by row, and the
        number of effective events in each row.
    """
    _, _, before, after, counts = _value(resolution, groups, rewards, whole=False)
    num_events = resolution.num_events.numpy()
    firsts = np.concatenate([[0], np.cumsum(num_events)])
    kept = np.arange(len(before)) - np.repeat(firsts[:-1], num_events) < np.repeat(counts, num_events)
    return before[kept].tolist(), after[kept].tolist(), counts.tolist()


def reached_values(
    resolution: "Resolution", groups: np.ndarray, rewards: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the value of the state that each text action of B traces reached, and of the empty state.

    Args:
        resolution: B traces of width T on the CPU, padded on the right.
        groups: Number of each trace's group from 0, Long[B].
        rewards: Reward of each trace, Double[B].

    Returns:
        Double[B, T], 0 at edits and padding, and Double[B].
    """
    reached, empty, *_ = _value(resolution, groups, rewards, whole=True)
    return reached, empty


def _value(
    resolution: "Resolution", groups: np.ndarray, rewards: np.ndarray, *, whole: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The values at text actions (none if not ``whole``), of empty states, and around events."""
    ids, lengths, num_events = (
        field.numpy() for field in (resolution.ids, resolution.raw_length, resolution.num_events)
    )
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(groups.max(initial=-1) + 2))
    # The empty state, and at most one for each action.
    most = 1 + np.bincount(groups, lengths, len(starts) - 1).astype(np.int64)
    slots = 2 ** np.ceil(np.log2(2 * most)).astype(np.int64)
    nodes, table = np.empty(most.max(initial=0), NODE), np.empty(slots.max(initial=0), np.int32)
    firsts = np.concatenate([[0], np.cumsum(num_events)])
    before, after = np.empty((2, firsts[-1]))
    counts = np.zeros(len(ids), np.int64)
    reached, empty = np.zeros(ids.shape if whole else (0, 0)), np.zeros(len(ids))
    _loop()(
        ids, lengths, resolution.is_edit.numpy(), resolution.erased.numpy(), resolution.parent.numpy(),
        rewards, order, starts, nodes, table, slots,
        np.empty(ids.shape, np.int32), firsts, before, after, counts,
        reached, empty,
    )  # fmt: skip
    return reached, empty, before, after, counts


@cache
def _loop() -> Any:
    # numba takes a third of a second to import, so it waits for the first batch.
    import numba

    return numba.njit(cache=True)(_value_groups)


def _value_groups(  # type: ignore[no-untyped-def] # noqa: ANN202, C901, PLR0912, PLR0915, PLR0917 - numba compiles one plain loop
    ids, lengths, is_edit, erased, parent, rewards, order, starts, nodes, table, slots, state,  # noqa: ANN001
    firsts, before, after, counts, behind, empty,  # noqa: ANN001
):  # fmt: skip
    """Fill ``state`` (of each text action, the node it leads to) and what comes behind it.

    ``table`` finds, by the hash of parent and token, the children that are not first.
    """
    for g in range(starts.size - 1):
        nodes[0].first_child, nodes[0].times, nodes[0].total = -1, 0, 0.0
        used = 1
        mask = slots[g] - 1
        table[: slots[g]] = -1
        for at in range(starts[g], starts[g + 1]):
            b = order[at]
            nodes[0].passed = b
            nodes[0].times += 1
            nodes[0].total += rewards[b]
            for t in range(lengths[b]):
                if is_edit[b, t]:
                    continue
                token = ids[b, t]
                up = state[b, parent[b, t]] if parent[b, t] >= 0 else 0
                node = nodes[up].first_child
                if node < 0:
                    node = used
                    nodes[up].first_child = node
                elif nodes[node].token != token:
                    slot = up * 0x9E3779B1 + token * 0x85EBCA77
                    slot = (slot ^ (slot >> 29)) & mask
                    node = table[slot]
                    while node >= 0 and (nodes[node].parent != up or nodes[node].token != token):
                        slot = (slot + 1) & mask
                        node = table[slot]
                    if node < 0:
                        node = used
                        table[slot] = node
                if node == used:
                    used += 1
                    nodes[node].parent, nodes[node].token, nodes[node].first_child = up, token, -1
                    nodes[node].passed, nodes[node].times, nodes[node].total = -1, 0, 0.0
                if nodes[node].passed != b:
                    nodes[node].passed = b
                    nodes[node].times += 1
                    nodes[node].total += rewards[b]
                state[b, t] = node
        for at in range(starts[g], starts[g + 1]):
            b = order[at]
            n = lengths[b]
            empty[b] = nodes[0].total / nodes[0].times
            if behind.size:
                for t in range(n):
                    if not is_edit[b, t]:
                        behind[b, t] = nodes[state[b, t]].total / nodes[state[b, t]].times
            last = n - 1
            while last >= 0 and (is_edit[b, last] or erased[b, last]):
                last -= 1
            left = 0
            for t in range(n):
                if not is_edit[b, t]:
                    continue
                if t == 0 or not is_edit[b, t - 1]:
                    left = state[b, parent[b, t]] if parent[b, t] >= 0 else 0
                if t + 1 < n and is_edit[b, t + 1]:
                    continue  # states inside a run of edits are none
                live = parent[b, t + 1] if t + 1 < n else last
                reached = state[b, live] if live >= 0 else 0
                if reached != left:
                    place = firsts[b] + counts[b]
                    before[place] = nodes[left].total / nodes[left].times
                    after[place] = nodes[reached].total / nodes[reached].times
                    counts[b] += 1
