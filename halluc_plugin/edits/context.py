"""The two contexts in which a policy can act: soft and hard."""

from enum import StrEnum


class Context(StrEnum):
    """What the model sees after an edit: the whole raw trace (soft) or the live tokens alone (hard)."""

    SOFT = "soft"
    """The whole raw trace, errors and edit tokens included."""
    HARD = "hard"
    """Only the resolved text."""
