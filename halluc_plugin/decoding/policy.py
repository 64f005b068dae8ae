"""Decide what one response may sample next: budget, prompt boundary and tabu.

All three are functions of the trace. Training applies the masks of budget and boundary when it computes
log-probs (:func:`halluc_plugin.edits.builders.budget_mask`). Tabu is for evaluation only.
"""

from collections.abc import Sequence
from enum import StrEnum

from halluc_plugin.edits import EditState, EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError

NOTHING: frozenset[int] = frozenset()


class Tabu(StrEnum):
    """The tokens that an edit bans at the exact live prefix at which they stood.

    For an edit that takes one token back, ``LAST`` and ``FIRST`` are the same; they differ if a step
    backtrack or a restart erases a longer span. A ban is never lifted.
    """

    OFF = "off"
    """It bans nothing: the same text may be written again."""
    LAST = "last"
    """It bans the last token that it erased, after all tokens before it: the same span cannot be completed
    again."""
    FIRST = "first"
    """It bans the first token that it erased, after the text that is left: the next try begins
    differently."""

    @classmethod
    def of(cls, value: "Tabu | bool | str") -> "Tabu":
        """Return the member for a setting: a name, or True for ``last`` and False for ``off``.

        Raises:
            SettingsError: The value is none of these.
        """
        if isinstance(value, bool):
            return cls.LAST if value else cls.OFF
        if not isinstance(value, str) or value not in list(cls):
            raise SettingsError(
                f"tabu is {value!r}.", f"Give one of: {', '.join(cls)}; true is last, false is off."
            )
        return cls(value)


class EditPolicy:
    """The edit state of one response together with what is banned in it.

    Applying an action and asking what is banned take constant time at any depth.

    Args:
        vocab: The edit vocabulary of the ids.
        budget: Number of effective edits (those that erase something) after which all edit tokens are banned;
            None for no limit, 0 bans them from the start.
        boundary: ``MASK`` bans edit tokens while the response is empty; ``NOOP`` lets them have no effect.
        tabu: The tokens that an edit bans of the span that it erases, each at its exact live prefix. True
            stands for :attr:`Tabu.LAST`, False for :attr:`Tabu.OFF`.

    Raises:
        SettingsError: The budget is negative, or ``tabu`` is none of these.
    """

    def __init__(
        self,
        vocab: EditVocab,
        *,
        budget: int | None = None,
        boundary: Boundary = Boundary.NOOP,
        tabu: Tabu | bool = Tabu.OFF,
    ) -> None:
        if budget is not None and budget < 0:
            raise SettingsError(f"The backtrack budget is {budget}.", "Give 0 or more, or null for no limit.")
        self.state = EditState(vocab)
        self.effective_edits = 0
        self._budget = budget
        self._closed_when_empty = boundary is Boundary.MASK
        rule = Tabu.of(tabu)
        self._rejected = None if rule is Tabu.OFF else _Rejected(self.state.live_ids, rule)

    @property
    def edits_left(self) -> int | None:
        """The number of effective edits that may follow, None for any number."""
        return None if self._budget is None else max(self._budget - self.effective_edits, 0)

    @property
    def edits_banned(self) -> bool:
        """Whether the next action must not be an edit."""
        spent = self._budget is not None and self.effective_edits >= self._budget
        return spent or (self._closed_when_empty and not self.state.live_ids)

    @property
    def text_may_change_bans(self) -> bool:
        """Whether the next text token may change which ids are banned; an edit always may."""
        if self._closed_when_empty and not self.state.live_ids:
            return True
        return self._rejected is not None and self._rejected.near

    def banned(self) -> frozenset[int]:
        """Return the ids that must not be sampled next."""
        rejected = NOTHING if self._rejected is None else self._rejected.tokens()
        if self._budget is None and not self._closed_when_empty:
            return rejected
        return rejected | self.state.vocab.edit_ids if self.edits_banned else rejected

    def push(self, token_id: int) -> tuple[int, ...]:
        """Apply one sampled action and return the indices of the actions it erased."""
        state, rejected = self.state, self._rejected
        if token_id not in state.vocab.edit_ids:
            state.push(token_id)
            if rejected is not None:
                rejected.follow()
            return ()
        if rejected is not None and state.live_ids:
            rejected.retreat(state.depth_after(token_id))
        erased = state.push(token_id)
        self.effective_edits += bool(erased)
        return erased

    def extend(self, ids: Sequence[int]) -> None:
        """Apply several sampled actions."""
        edit_ids, start = self.state.vocab.edit_ids, 0
        if not edit_ids.isdisjoint(ids):
            for index in [index for index, token_id in enumerate(ids) if token_id in edit_ids]:
                self._append(ids[start:index])
                self.push(ids[index])
                start = index + 1
        self._append(ids[start:])

    def _append(self, text_ids: Sequence[int]) -> None:
        if text_ids:
            self.state.extend(text_ids)
            if self._rejected is not None:
                self._rejected.follow()


class _Prefix:
    """A beginning of a response: the tokens rejected after it, and longer beginnings by their next token."""

    __slots__ = ("longer", "rejected")

    def __init__(self) -> None:
        self.rejected = NOTHING
        self.longer: dict[int, _Prefix] = {}


class _Rejected:
    """The tokens that were rejected after each live prefix.

    The beginnings of the live tokens after which something is known are kept by their length. What an edit
    deletes is attached to the longest remaining beginning, under the deleted tokens, and is found again when
    they become live again. So an edit costs as much as it deletes, and a token of text one look-up.

    Args:
        live_ids: The list that :class:`EditState` updates in place.
        rule: The token of a span that is rejected.
    """

    def __init__(self, live_ids: list[int], rule: Tabu) -> None:
        self._live_ids = live_ids
        self._first = rule is Tabu.FIRST
        self._known: list[tuple[int, _Prefix]] = []  # ascending

    @property
    def near(self) -> bool:
        """Whether other tokens may be rejected after the next token of text than here."""
        return bool(self._known) and self._known[-1][0] == len(self._live_ids)

    def tokens(self) -> frozenset[int]:
        """The tokens that were rejected after the live tokens."""
        known = self._known
        return known[-1][1].rejected if known and known[-1][0] == len(self._live_ids) else NOTHING

    def follow(self) -> None:
        """Take note that live tokens were appended."""
        while self._known and self._known[-1][0] < len(self._live_ids):
            length, prefix = self._known[-1]
            longer = prefix.longer.get(self._live_ids[length])
            if longer is None:
                return
            self._known.append((length + 1, longer))

    def retreat(self, keep: int) -> None:
        """Reject a token of the span that is about to be deleted, so that ``keep`` live tokens are left."""
        at = keep if self._first else len(self._live_ids) - 1
        before = self._back_to(at)
        before.rejected |= {self._live_ids[at]}
        if at > keep:
            self._back_to(keep)

    def _back_to(self, keep: int) -> _Prefix:
        """Attach what is known of longer beginnings to this one."""
        known, live_ids = self._known, self._live_ids
        while known and known[-1][0] > keep:
            length, prefix = known.pop()
            start = max(known[-1][0], keep) if known else keep
            if not known or known[-1][0] < start:
                known.append((start, _Prefix()))
            shorter = known[-1][1]
            for token_id in live_ids[start : length - 1]:
                shorter = shorter.longer.setdefault(token_id, _Prefix())
            shorter.longer[live_ids[length - 1]] = prefix
        if not known or known[-1][0] < keep:
            known.append((keep, _Prefix()))
        return known[-1][1]
