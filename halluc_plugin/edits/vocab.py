"""Which token ids edit, which end a step, and which exist."""

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

from halluc_plugin.errors import EditVocabError


class EditKind(IntEnum):
    """What an action does to the live text."""

    TEXT = 0
    """Appends itself."""
    BACKTRACK = 1
    """Deletes the last live token."""
    STEP = 2
    """Deletes the last live token, then back to just after the nearest earlier step delimiter."""
    RESTART = 3
    """Deletes the whole response."""


@dataclass(frozen=True)
class EditVocab:
    """The token ids with a meaning beyond text.

    Args:
        backtrack: Id of the backtrack token.
        step: Id of the step backtrack token, None if the model has none.
        step_delimiters: Ids whose text ends a step; needed with ``step``, see
            :func:`halluc_plugin.edits.find_delimiters`.
        restart: Id of the restart token, None if the model has none.
        size: Ids from here on are no token of the tokenizer, None if that is not known. Models often have
            more rows than their tokenizer has tokens.
        gaps: Ids below ``size`` that are no token either.

    Raises:
        EditVocabError: An id is negative, two roles share an id, or ``step`` has no delimiters.
    """

    backtrack: int
    step: int | None = None
    step_delimiters: frozenset[int] = field(default_factory=frozenset)
    restart: int | None = None
    # Which ids edit does not depend on what else there is.
    size: int | None = field(default=None, compare=False)
    gaps: frozenset[int] = field(default_factory=frozenset, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "step_delimiters", frozenset(int(i) for i in self.step_delimiters))
        for role, token_id in self.roles.items():
            if token_id < 0:
                raise EditVocabError(
                    f"The {role} token has id {token_id}.", "Pass an id of the tokenizer, at least 0."
                )
        if len(set(self.roles.values())) < len(self.roles):
            raise EditVocabError(
                f"Two edit tokens share an id: {self.roles}.", "Give each edit token an id of its own."
            )
        clash = self.step_delimiters & set(self.roles.values())
        if clash:
            raise EditVocabError(
                f"Step delimiter {min(clash)} is also an edit token ({self.roles}).",
                "Remove edit tokens from step_delimiters.",
            )
        if any(i < 0 for i in self.step_delimiters):
            raise EditVocabError(
                f"Step delimiter {min(self.step_delimiters)} is negative.",
                "Pass ids of the tokenizer, at least 0.",
            )
        if self.step is not None and not self.step_delimiters:
            raise EditVocabError(
                f"A step backtrack token (id {self.step}) is given without step delimiters.",
                "Pass step_delimiters=find_delimiters(tokenizer, delimiter), or leave step out.",
            )
        if self.step is None and self.step_delimiters:
            raise EditVocabError(
                "Step delimiters are given without a step backtrack token.",
                "Pass step=<id>, or leave step_delimiters out.",
            )

    @cached_property
    def roles(self) -> dict[str, int]:
        """Ids of the edit tokens that exist, by role."""
        named = {"backtrack": self.backtrack, "step": self.step, "restart": self.restart}
        return {role: token_id for role, token_id in named.items() if token_id is not None}

    @cached_property
    def edit_ids(self) -> frozenset[int]:
        """Ids of all edit tokens."""
        return frozenset(self.roles.values())

    def unknown_ids(self, rows: int) -> list[int]:
        """Ids below ``rows`` that are no token: a model with so many rows must not be let sample them."""
        beyond = [] if self.size is None else range(self.size, rows)
        return [*sorted(gap for gap in self.gaps if gap < rows), *beyond]

    def kind(self, token_id: int) -> EditKind:
        """What the action ``token_id`` does."""
        if token_id == self.backtrack:
            return EditKind.BACKTRACK
        if token_id == self.step:
            return EditKind.STEP
        if token_id == self.restart:
            return EditKind.RESTART
        return EditKind.TEXT
