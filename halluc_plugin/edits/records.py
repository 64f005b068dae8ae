"""Events (maximal runs of edits) as records, and the record of a whole trace for logs and viewers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from halluc_plugin.edits.resolution import Resolution, resolve_row
from halluc_plugin.edits.vocab import EditVocab

TRACE_RECORD_VERSION = 1


@dataclass(frozen=True)
class EditEvent:
    """One maximal run of edit tokens.

    Attributes:
        row: Which response.
        number: Which event of it, from 0.
        start: Index of its first edit.
        stop: Index after its last edit.
        effective: How many of its edits erased something.
        erased: Indices of the tokens it erased, oldest first.
        depth_before: Live tokens before it.
        depth_after: Live tokens after it.
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
    """All events of a batch, by row and time."""
    found: dict[tuple[int, int], list[int]] = {}
    for row, column in resolution.is_edit.nonzero().tolist():
        found.setdefault((row, int(resolution.event[row, column])), []).append(column)
    erased_by: dict[tuple[int, int], list[int]] = {}
    for row, column in resolution.erased.nonzero().tolist():
        edit = int(resolution.erased_at[row, column])
        erased_by.setdefault((row, int(resolution.event[row, edit])), []).append(column)
    records = []
    for (row, number), edits in found.items():
        erased = tuple(erased_by.get((row, number), ()))
        before = int(resolution.depth[row, edits[0]])
        effective = int((~resolution.noop[row, edits]).sum())
        records.append(
            EditEvent(row, number, edits[0], edits[-1] + 1, effective, erased, before, before - len(erased))
        )
    return records


def trace_record(ids: Sequence[int], vocab: EditVocab) -> dict[str, Any]:
    """A JSON-able record of one trace.

    Args:
        ids: Actions of one response, without prompt and padding.
        vocab: Which ids edit.

    Returns:
        ``version`` of this layout; ``ids``; ``live`` (0/1 per action, 0 for edits); ``erased_at`` (index of
        the erasing edit per action, null if none); ``parent`` (per action); ``resolved`` (ids left at the
        end); ``events`` (as :class:`EditEvent`, without ``row``).
    """
    resolution = resolve_row(ids, vocab)
    width = len(ids)
    erased_at = resolution.erased_at[0].tolist()
    return {
        "version": TRACE_RECORD_VERSION,
        "ids": [int(i) for i in ids],
        "live": resolution.live[0].int().tolist(),
        "erased_at": [None if at == width else at for at in erased_at],
        "parent": resolution.parent[0].tolist(),
        "resolved": resolution.resolved(0),
        "events": [{k: v for k, v in asdict(event).items() if k != "row"} for event in events(resolution)],
    }
