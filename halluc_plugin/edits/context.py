"""The two contexts in which a policy can act."""

from enum import StrEnum


class Context(StrEnum):
    """What the model sees after an edit."""

    SOFT = "soft"
    """The whole raw trace, errors and edit tokens included."""
    HARD = "hard"
    """Only the resolved text."""
