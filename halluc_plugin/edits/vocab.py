"""Define which token ids edit, which end a step, and which exist."""

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

from halluc_plugin.errors import EditVocabError


class EditKind(IntEnum):
    """The effect of an action on the live text."""

    TEXT = 0
    """Appends itself."""
    BACKTRACK = 1
    """Deletes the last live token."""
    STEP = 2
    """Deletes the last live token, then back to just after the nearest earlier step delimiter."""
    RESTART = 3
    """Deletes the whole response."""


ROLES = tuple(kind.name.lower() for kind in EditKind if kind is not EditKind.TEXT)
"""The roles of edit tokens; each is a field of :class:`EditVocab`."""


@dataclass(frozen=True)
class EditVocab:
    """The token ids with a meaning beyond text.

    Args:
        backtrack: Id of the backtrack token.
        step: Id of the step backtrack token, None if the model has none.
        step_delimiters: Ids whose text ends a step, required with ``step``; see
            :func:`halluc_plugin.edits.find_delimiters`.
        restart: Id of the restart token, None if the model has none.
        size: Number of ids of the tokenizer: ids from here on are not tokens. None if that is not known.
            Models often have more rows than their tokenizer has tokens.
        gaps: Ids below ``size`` that are not tokens either.

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
        for name in DELIMITERS.values():
            object.__setattr__(self, name, frozenset(int(i) for i in getattr(self, name)))
        for role, token_id in self.roles.items():
            if token_id < 0:
                raise EditVocabError(
                    f"The {role} token has id {token_id}.", "Pass an id of the tokenizer, at least 0."
                )
        if len(set(self.roles.values())) < len(self.roles):
            raise EditVocabError(
                f"Two edit tokens share an id: {self.roles}.", "Give each edit token an id of its own."
            )
        for role, name in DELIMITERS.items():
            self._check_delimiters(role, name, getattr(self, name))

    def _check_delimiters(self, role: str, name: str, delimiters: frozenset[int]) -> None:
        clash = delimiters & set(self.roles.values())
        if clash:
            raise EditVocabError(
                f"{role.capitalize()} delimiter {min(clash)} is also an edit token ({self.roles}).",
                f"Remove edit tokens from {name}.",
            )
        if any(i < 0 for i in delimiters):
            raise EditVocabError(
                f"{role.capitalize()} delimiter {min(delimiters)} is negative.",
                "Pass ids of the tokenizer, at least 0.",
            )
        if role in self.roles and not delimiters:
            raise EditVocabError(
                f"A {role} backtrack token (id {self.roles[role]}) is given without {role} delimiters.",
                f"Pass {name}=find_delimiters(tokenizer, delimiter), or leave {role} out.",
            )
        if role not in self.roles and delimiters:
            raise EditVocabError(
                f"{role.capitalize()} delimiters are given without a {role} backtrack token.",
                f"Pass {role}=<id>, or leave {name} out.",
            )

    @cached_property
    def roles(self) -> dict[str, int]:
        """The ids of the edit tokens that exist, by role."""
        named = {role: getattr(self, role) for role in ROLES}
        return {role: token_id for role, token_id in named.items() if token_id is not None}

    @cached_property
    def stops(self) -> dict[int, frozenset[int] | None]:
        """The ids at which each edit stops deleting, by the edit's id; edits differ in nothing else.

        An edit deletes the last live token, and goes on until one of these ids is the last live one. None
        stops at once (backtrack); an empty set never stops (restart). Edits that look for ids in the text
        come last.
        """
        found = {role: getattr(self, name) for role, name in DELIMITERS.items()}
        reach = {"backtrack": None, "restart": frozenset[int](), **found}
        return {self.roles[role]: stops for role, stops in reach.items() if role in self.roles}

    @cached_property
    def edit_ids(self) -> frozenset[int]:
        """The ids of all edit tokens."""
        return frozenset(self.roles.values())

    def unknown_ids(self, rows: int) -> list[int]:
        """Return the ids below ``rows`` that are not tokens.

        A model whose head has ``rows`` rows must be kept from sampling them.
        """
        beyond = [] if self.size is None else range(self.size, rows)
        return [*sorted(gap for gap in self.gaps if gap < rows), *beyond]

    def kind(self, token_id: int) -> EditKind:
        """Return the effect of the action ``token_id`` on the live text."""
        found = (EditKind[role.upper()] for role, edit in self.roles.items() if edit == token_id)
        return next(found, EditKind.TEXT)


DELIMITERS = {
    role: name for role in ROLES if (name := f"{role}_delimiters") in EditVocab.__dataclass_fields__
}
"""Fields with the ids that an edit deletes back to, by its role."""
