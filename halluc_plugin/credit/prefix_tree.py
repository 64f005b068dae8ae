"""Values of states from the group itself: what the answers that passed through a state came to."""

from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from halluc_plugin.credit.moves import Move
from halluc_plugin.errors import TraceError

if TYPE_CHECKING:
    from halluc_plugin.edits import EditVocab


def prefix_tree_moves(
    traces: Sequence[Sequence[int]], groups: Sequence[Hashable], rewards: Sequence[float], vocab: "EditVocab"
) -> list[list[Move]]:
    """What events were worth, by the group's own answers.

    The value of a state, a collapsed prefix, is the mean reward of the group's answers that passed through
    it, each counted once however often it did. A state that only one answer visited has that answer's reward:
    an event between two such states is worth nothing, and what singles an event out is that others reached
    the state before it and fared otherwise. Costs no samples and no verifier; a group of n gives means of at
    most n.

    Args:
        traces: B raw traces, without prompt and padding.
        groups: B names; answers to one prompt have the same.
        rewards: B rewards of whole answers.
        vocab: Which ids edit.

    Returns:
        For each trace, its effective events in order; what edits at an empty response did is no event.

    Raises:
        TraceError: The three do not have one length, or an id is negative.
    """
    if not len(traces) == len(groups) == len(rewards):
        raise TraceError(
            f"{len(traces)} traces, {len(groups)} groups and {len(rewards)} rewards.", "Give as many of each."
        )
    tree = _Tree(vocab)
    paths = [list(tree.walk(group, trace)) for trace, group in zip(traces, groups, strict=True)]
    total, count = [0.0] * tree.size, [0] * tree.size
    for path, reward in zip(paths, rewards, strict=True):
        for node in {node for node, _ in path}:
            total[node] += reward
            count[node] += 1
    value = [paid / times if times else 0.0 for paid, times in zip(total, count, strict=True)]
    return [[Move(value[before], value[after]) for before, after in _moves(path)] for path in paths]


class _Tree:
    """States by number: one for each group and collapsed prefix. Paths cost memory linear in their length."""

    def __init__(self, vocab: "EditVocab") -> None:
        self._vocab = vocab
        self._nodes: dict[tuple[Hashable, int], int] = {}

    @property
    def size(self) -> int:
        return len(self._nodes)

    def walk(self, group: Hashable, trace: Sequence[int]) -> Iterator[tuple[int, bool]]:
        """Each state of a trace from the empty one on, and whether an edit led there.

        States inside a run of edits are none: an event is one move.
        """
        from halluc_plugin.edits import EditState

        state, live = EditState(self._vocab), [self._child((group,), -1)]
        yield live[0], False
        for at, token in enumerate(trace):
            state.push(token)
            if token not in self._vocab.edit_ids:
                live.append(self._child(live[-1], token))
                yield live[-1], False
                continue
            del live[state.depth + 1 :]
            if at + 1 == len(trace) or trace[at + 1] not in self._vocab.edit_ids:
                yield live[-1], True

    def _child(self, parent: Hashable, token: int) -> int:
        return self._nodes.setdefault((parent, token), len(self._nodes))


def _moves(path: Sequence[tuple[int, bool]]) -> Iterator[tuple[int, int]]:
    for (before, _), (after, edited) in pairwise(path):
        if edited and after != before:
            yield before, after
