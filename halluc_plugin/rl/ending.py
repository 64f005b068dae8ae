"""Decide whether an answer ended by itself or was cut off."""

from collections.abc import Collection, Sequence

CUT_OFF = frozenset({"length", "abort", "aborted"})
"""The engines' reasons to finish an answer that could have continued."""
BY_ITSELF = "stop"


def ended(ids: Sequence[int], allowed: int, ends: Collection[int], reason: str | None = None) -> bool:
    """Return whether an answer ended by itself.

    Args:
        ids: The token ids of the raw trace.
        allowed: Largest number of raw actions that the engine would have sampled.
        ends: Ids that end an answer.
        reason: The engine's reason why the answer finished; None if the host does not tell it.
    """
    if reason in CUT_OFF or not ids:
        return False
    # An engine that stops before its limit has a reason: an id, a stop string, a rule of its own.
    return reason == BY_ITSELF or len(ids) < allowed or ids[-1] in ends
