"""Make the worse twin of a trace with edits: the edit at a wrong place, or left out.

A twin has the tokens of its trace up to the first place at which one of the two edits, and differs from there
on only.
"""

from collections.abc import Collection, Sequence

from halluc_plugin.edits import EditEvent, EditVocab, collapse, resolve_row, row_events
from halluc_plugin.errors import TraceError


def effective_events(trace: Sequence[int], vocab: EditVocab) -> list[EditEvent]:
    """Return the events of a trace in which every edit erases something, in order.

    Args:
        trace: Token ids of a raw trace.
        vocab: The edit vocabulary of the ids.
    """
    events = row_events(resolve_row(list(trace), vocab), 0)
    return [event for event in events if event.effective == event.stop - event.start]


def moved(trace: Sequence[int], event: EditEvent, place: int) -> list[int]:
    """Return a trace with the edits of one event at another place.

    Args:
        trace: Token ids of a raw trace.
        event: The event to move.
        place: The number of other tokens that stand before the edits afterwards.

    Raises:
        TraceError: The place is outside the trace, or the one where the event is.
    """
    ids = list(trace)
    rest, edits = ids[: event.start] + ids[event.stop :], ids[event.start : event.stop]
    if place == event.start or not 0 <= place <= len(rest):
        raise TraceError(
            f"An event at {event.start} is to be moved to {place}, in a trace of {len(ids)} tokens.",
            "Give another place, within the trace.",
        )
    return rest[:place] + edits + rest[place:]


def is_wrong_place(
    trace: Sequence[int], event: EditEvent, place: int, vocab: EditVocab, end_ids: Collection[int]
) -> bool:
    """Return whether an event can be moved to a place so that the trace collapses to something else.

    Edits are not moved next to others, which would make one event of two, nor behind an end, and they go on
    to erase something each. Step backtracks and restarts stand behind a finished step.

    Args:
        trace: Token ids of a raw trace.
        event: The event to move.
        place: The number of other tokens that stand before the edits afterwards.
        vocab: The edit vocabulary of the ids.
        end_ids: Ids that end a response.
    """
    ids = list(trace)
    rest, edits = ids[: event.start] + ids[event.stop :], ids[event.start : event.stop]
    if place == event.start or not 1 <= place <= len(rest):
        return False
    before, after = rest[place - 1], rest[place : place + 1]
    if vocab.edit_ids.intersection((before, *after)) or before in end_ids:
        return False
    if vocab.backtrack not in edits and before not in vocab.step_delimiters:
        return False
    twin = moved(ids, event, place)
    whole = (place, place + len(edits))
    if whole not in [(other.start, other.stop) for other in effective_events(twin, vocab)]:
        return False
    return collapse(twin, vocab) != collapse(ids, vocab)


def left_standing(trace: Sequence[int], event: EditEvent, end_id: int) -> list[int]:
    """Return a trace that ends where the event would have taken back.

    After an answer that is taken back as a whole this is that answer, as it was.

    Args:
        trace: Token ids of a raw trace.
        event: The event that is left out, with all that follows it.
        end_id: The id that ends the response.
    """
    return [*trace[: event.start], end_id]
