"""Judge a trace by a prefix oracle: which of the states it passed through were good.

Every state of a response is named by its last live token: the column of the action that wrote it, or
:data:`EMPTY`. The :class:`halluc_plugin.edits.Resolution` says how states follow one another; nothing here
works out an edit.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics.intervals import Proportion

if TYPE_CHECKING:
    from halluc_plugin.edits import EditEvent, EditVocab, Resolution

PrefixOracle = Callable[[Sequence[int]], bool]
"""``oracle(live_ids)``: is this live prefix free of violated steps, and the goal still within reach?

It gets ids of response tokens, oldest first: no prompt, no edit tokens, the end-of-sequence token as any
other. It must be a pure function; a prefix is judged at most once per trace.
"""

EMPTY = -1
"""The state before any token is live."""


class JudgedTrace:
    """One row of a resolution together with the oracle of its problem; :func:`judge_traces` makes them.

    The oracle is called only when a metric needs a verdict, and verdicts are kept by live prefix: two
    metrics, or two states with the same live ids, cost one call.

    Args:
        resolution: Resolved batch, on any device.
        row: Number of the row in the batch.
        events: The events of this row.
        oracle: Judges live prefixes of this row's problem.

    Attributes:
        start: First valid column.
        end: Column after the last valid one.
        events: The events of this row, in order.
    """

    def __init__(
        self, resolution: "Resolution", row: int, events: Sequence["EditEvent"], oracle: PrefixOracle
    ) -> None:
        valid = resolution.valid[row].tolist()
        self.start = valid.index(True) if True in valid else 0
        self.end = self.start + sum(valid)
        self.events = tuple(events)
        self._oracle = oracle
        self._ids: list[int] = resolution.ids[row].tolist()
        self._parent: list[int] = resolution.parent[row].tolist()
        self._depth: list[int] = resolution.depth[row].tolist()
        self._is_edit: list[bool] = resolution.is_edit[row].tolist()
        self._erased: list[bool] = resolution.erased[row].tolist()
        live = resolution.live[row].nonzero().flatten().tolist()
        self._final: int = live[-1] if live else EMPTY
        self._prefix = self._number_prefixes()
        self._verdicts: dict[int, bool] = {}
        self._first_bad: dict[int, int | None] = {EMPTY: None}

    def _number_prefixes(self) -> dict[int, int]:
        """A number for each state's live ids, equal exactly where the ids are equal."""
        numbers: dict[tuple[int, int], int] = {}
        prefix = {EMPTY: 0}
        for column in self.text():
            key = (prefix[self._parent[column]], self._ids[column])
            prefix[column] = numbers.setdefault(key, len(numbers) + 1)
        return prefix

    def columns(self) -> range:
        """Return the columns of all actions."""
        return range(self.start, self.end)

    def text(self) -> Iterator[int]:
        """Return the columns of the text tokens, erased ones too."""
        return (column for column in self.columns() if not self._is_edit[column])

    def token(self, column: int) -> int:
        """Return the id of the action at ``column``."""
        return self._ids[column]

    def is_text(self, column: int) -> bool:
        """Return whether ``column`` holds a valid text token."""
        return self.start <= column < self.end and not self._is_edit[column]

    def erased(self, column: int) -> bool:
        """Return whether the token at ``column`` is not live at the end."""
        return self._erased[column]

    def state_before(self, column: int) -> int:
        """Return the state before the action at ``column``; ``end`` gives the final state."""
        return self._final if column == self.end else self._parent[column]

    def depth_before(self, column: int) -> int:
        """Return the number of live tokens before the action at ``column``."""
        return self._depth[column]

    def path(self, state: int) -> list[int]:
        """Return the columns of the tokens that are live in ``state``, oldest first."""
        columns = []
        while state != EMPTY:
            columns.append(state)
            state = self._parent[state]
        return columns[::-1]

    def ok(self, state: int) -> bool:
        """Return the oracle's verdict on the live prefix of ``state``."""
        prefix = self._prefix[state]
        if prefix not in self._verdicts:
            live_ids = [self._ids[column] for column in self.path(state)]
            self._verdicts[prefix] = bool(self._oracle(live_ids))
        return self._verdicts[prefix]

    def verdicts(self) -> list[bool]:
        """Return the verdict on the live text before each action, then that on the text left at the end."""
        return [self.ok(self.state_before(column)) for column in range(self.start, self.end + 1)]

    def first_bad(self, state: int) -> int | None:
        """Return the column of the first bad token of ``state``: the first live one whose prefix is not ok.

        If even the empty response is not ok (an unsolvable problem), the first token is bad. The result is
        None if there is no bad token.
        """
        pending = []
        while state not in self._first_bad:
            pending.append(state)
            state = self._parent[state]
        found = self._first_bad[state]
        for column in reversed(pending):
            if found is None:
                doomed = self._parent[column] == EMPTY and not self.ok(EMPTY)
                found = column if doomed or not self.ok(column) else None
            self._first_bad[column] = found
        return found


def judge_traces(resolution: "Resolution", oracles: Sequence[PrefixOracle]) -> list[JudgedTrace]:
    """Join each row of a batch with the oracle of its problem.

    Args:
        resolution: Resolved batch of B rows.
        oracles: B oracles, one for each row.

    Raises:
        MetricError: The number of oracles is not the number of rows.
    """
    from halluc_plugin.edits import events

    rows = len(resolution.ids)
    if len(oracles) != rows:
        raise MetricError(
            f"{len(oracles)} oracles for {rows} rows.", "Pass one oracle for each row, in order."
        )
    by_row: list[list[EditEvent]] = [[] for _ in oracles]
    for event in events(resolution):
        by_row[event.row].append(event)
    return [JudgedTrace(resolution, row, by_row[row], oracle) for row, oracle in enumerate(oracles)]


def judge_ids(
    traces: Sequence[Sequence[int]], vocab: "EditVocab", oracles: Sequence[PrefixOracle]
) -> list[JudgedTrace]:
    """Join raw traces of any lengths, given as lists of ids, with the oracles of their problems.

    Args:
        traces: B raw traces, without prompt and padding.
        vocab: The edit vocabulary of the ids.
        oracles: B oracles, one for each trace.

    Raises:
        MetricError: The number of oracles is not the number of traces.
        TraceError: An id is negative.
    """
    from halluc_plugin.edits import resolve_row

    if len(oracles) != len(traces):
        raise MetricError(f"{len(oracles)} oracles for {len(traces)} rows.", "Pass one oracle for each row.")
    rows = zip(traces, oracles, strict=True)
    return [judge_traces(resolve_row(trace, vocab), [oracle])[0] for trace, oracle in rows]


def pool(traces: Sequence[JudgedTrace], outcomes: Callable[[JudgedTrace], list[bool]]) -> Proportion:
    """Return the share of true outcomes over all traces, with each trace a cluster."""
    rows = [outcomes(trace) for trace in traces]
    return Proportion.clustered([sum(row) for row in rows], [len(row) for row in rows])
