"""Records of events (maximal runs of edits) and of whole traces, for logs and viewers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from halluc_plugin.edits.resolution import Resolution, resolve_row
from halluc_plugin.edits.vocab import EditVocab
from halluc_plugin.errors import TraceError

TRACE_RECORD_VERSION = 1


@dataclass(frozen=True)
class EditEvent:
    """One maximal run of edit tokens.

    Attributes:
        row: Number of the response in its batch.
        number: Number of the event in its response, from 0.
        start: Index of the first edit.
        stop: Index after the last edit.
        effective: Number of edits that erased something.
        erased: Indices of the tokens that the event erased, oldest first.
        depth_before: Number of live tokens before the event.
        depth_after: Number of live tokens after the event.
    """

    row: int
    number: int
    start: int
    stop: int
    effective: int
    erased: tuple[int, ...]
    depth_before: int
    depth_after: int


def events(resolution: Resolution) -> list[EditEvent]:
    """Return all events of a batch, ordered by row and time."""
    on_cpu = resolution.to("cpu")
    return [event for row in range(len(on_cpu.ids)) for event in row_events(on_cpu, row)]


def row_events(resolution: Resolution, row: int) -> list[EditEvent]:
    """Return the events of one row of a batch, ordered by time."""
    # Lists, because reading a tensor element by element is two orders of magnitude slower.
    fields = (resolution.event, resolution.noop, resolution.depth, resolution.erased, resolution.erased_at)
    event, noop, depth, erased, erased_at = (field[row].tolist() for field in fields)
    edits: dict[int, list[int]] = {}
    gone: dict[int, list[int]] = {}
    for column, number in enumerate(event):
        if number >= 0:
            edits.setdefault(number, []).append(column)
        elif erased[column]:
            gone.setdefault(event[erased_at[column]], []).append(column)
    records = []
    for number, run in edits.items():
        deleted, before = tuple(gone.get(number, ())), depth[run[0]]
        effective = sum(not noop[column] for column in run)
        records.append(
            EditEvent(row, number, run[0], run[-1] + 1, effective, deleted, before, before - len(deleted))
        )
    return records


def trace_record(ids: Sequence[int], vocab: EditVocab) -> dict[str, Any]:
    """Return a JSON-able record of one trace.

    Args:
        ids: Actions of one response, without prompt and padding.
        vocab: The edit vocabulary of the ids.

    Returns:
        ``version`` of this layout; ``ids``; ``live`` (0/1 per action, 0 for edits); ``erased_at`` (index of
        the erasing edit per action, null if none); ``parent`` (per action); ``resolved`` (ids left at the
        end); ``events`` (as :class:`EditEvent`, without ``row``).
    """
    resolution = resolve_row(ids, vocab)
    width = len(ids)
    erased_at = resolution.erased_at[0].tolist()
    return TraceRecord(
        ids=tuple(int(i) for i in ids),
        live=tuple(resolution.live[0].tolist()),
        erased_at=tuple(None if at == width else at for at in erased_at),
        parent=tuple(resolution.parent[0].tolist()),
        resolved=tuple(resolution.resolved(0)),
        events=tuple(events(resolution)),
    ).as_json()


@dataclass(frozen=True)
class TraceRecord:
    """A record of a trace, with the types of this package.

    Attributes:
        ids: The actions.
        live: For each action, whether it is text that is left at the end.
        erased_at: For each action, the index of the edit that erased it, None if none did.
        parent: For each action, the index of the last live token before it, -1 at the end of the prompt.
        resolved: The ids that are left at the end.
        events: The maximal runs of edits, by time.
    """

    ids: tuple[int, ...]
    live: tuple[bool, ...]
    erased_at: tuple[int | None, ...]
    parent: tuple[int, ...]
    resolved: tuple[int, ...]
    events: tuple[EditEvent, ...]

    @property
    def num_effective(self) -> int:
        """Number of edits that erased something."""
        return sum(event.effective for event in self.events)

    def as_json(self) -> dict[str, Any]:
        """Return the record as it is kept, in the layout that :func:`trace_record` describes."""
        return {
            "version": TRACE_RECORD_VERSION,
            "ids": list(self.ids),
            "live": [int(is_live) for is_live in self.live],
            "erased_at": list(self.erased_at),
            "parent": list(self.parent),
            "resolved": list(self.resolved),
            "events": [_as_json(event) for event in self.events],
        }


def read_record(record: Mapping[str, Any]) -> TraceRecord:
    """Read a record of a trace, as :func:`trace_record` writes it.

    All code that reads records does so by this function.

    Raises:
        TraceError: The record has another layout, or lacks a field.
    """
    if record.get("version") != TRACE_RECORD_VERSION:
        raise TraceError(
            f"The record of a trace has version {record.get('version')}, this halluc reads "
            f"{TRACE_RECORD_VERSION}.",
            "Read it with the release of halluc that wrote it.",
        )
    try:
        return TraceRecord(
            ids=tuple(record["ids"]),
            live=tuple(map(bool, record["live"])),
            erased_at=tuple(record["erased_at"]),
            parent=tuple(record["parent"]),
            resolved=tuple(record["resolved"]),
            events=tuple(
                EditEvent(row=0, **{**event, "erased": tuple(event["erased"])}) for event in record["events"]
            ),
        )
    except (KeyError, TypeError) as error:
        raise TraceError(
            f"This is no record of a trace ({type(error).__name__}: {error}).",
            "Give what halluc_plugin.edits.trace_record returned.",
        ) from error


def _as_json(event: EditEvent) -> dict[str, Any]:
    fields = asdict(event) | {"erased": list(event.erased)}
    del fields["row"]
    return fields
