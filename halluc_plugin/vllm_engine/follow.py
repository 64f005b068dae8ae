"""Follow the requests of a batch that have limits, at a cost that depends on what changes.

Almost every action changes no ban: a token of text, or a token taken back while the budget lasts. Such
actions are recognised by the lengths of the output lists, for the whole batch at once, and kept until a gate
needs them. Only the other requests are examined one by one.
"""

from collections.abc import Iterable

import numpy as np

from halluc_plugin.vllm_engine.gate import Gate

MOST_STEPS = 64
"""Number of steps whose tokens are kept before the gates take them; it bounds memory and changes nothing
else."""
NONE = -1


class Followed:
    """The gates of a batch, advanced step by step.

    Args:
        gates: The gates of requests in the batch. Until :meth:`release` nothing else may advance them.
    """

    def __init__(self, gates: Iterable[Gate] = ()) -> None:
        self._gates = list(gates)
        self._lists = [gate.output_ids for gate in self._gates]
        self._lengths = np.array([gate.length for gate in self._gates], np.int64)
        self._wake = np.array([gate.wake for gate in self._gates], np.int64)
        self._low = np.array([gate.low for gate in self._gates], np.int64)
        self._slack = np.array([gate.slack for gate in self._gates], np.int64)
        self._settled = np.array([gate.settled for gate in self._gates], bool)
        self._edit_ids = frozenset[int]().union(*{gate.edits_in_output for gate in self._gates})
        self._steps: list[list[int]] = []
        """For each step that not all gates have taken in, the action of every request."""
        self._since = [0] * len(self._gates)
        """From which of these steps on a gate has not."""

    def advance(self) -> list[Gate]:
        """Take the tokens sampled since the last call into account.

        Returns:
            The gates whose bans have changed.

        Raises:
            TraceError: An output changed as no single action can change it.
        """
        if self._settled.all():
            return []
        lengths = np.fromiter(map(len, self._lists), np.int64, len(self._lists))
        grown = (lengths == self._lengths + 1) & (lengths < self._wake)
        actions = [ids[-1] if ids else NONE for ids in self._lists]
        if self._edit_ids:
            grown[[index for index, token_id in enumerate(actions) if token_id in self._edit_ids]] = False
        shrunk = (lengths == self._lengths - 1) & (lengths >= self._low) & (self._slack > 0)
        self._slack -= shrunk
        for index in np.flatnonzero(shrunk).tolist():
            actions[index] = self._gates[index].backtrack
        changed = []
        for index in np.flatnonzero(~(grown | shrunk | self._settled)).tolist():
            gate, since = self._gates[index], self._since[index]
            if since < len(self._steps):
                gate.note([step[index] for step in self._steps[since:]])
            self._since[index] = len(self._steps) + 1
            if gate.advance():
                changed.append(gate)
            self._wake[index], self._low[index], self._slack[index] = gate.wake, gate.low, gate.slack
            self._settled[index] = gate.settled
        self._lengths = lengths
        self._steps.append(actions)
        if len(self._steps) == MOST_STEPS:
            self.release()
        return changed

    def release(self) -> None:
        """Bring every gate up to date."""
        if self._steps:
            columns = zip(*self._steps, strict=True)
            for gate, actions, since in zip(self._gates, columns, self._since, strict=True):
                gate.note(actions[since:])
            self._steps.clear()
            self._since = [0] * len(self._gates)
