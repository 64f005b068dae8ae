"""What one response may sample next: budget, prompt boundary and tabu, as functions of its live tokens.

Budget and boundary are functions of the trace, so training applies the same mask when it computes
log-probs (:func:`halluc_plugin.edits.builders.budget_mask`). Tabu is for evaluation only.
"""

from collections.abc import Sequence

from halluc_plugin.edits import EditKind, EditState, EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError

NOTHING: frozenset[int] = frozenset()


class EditPolicy:
    """The edit state of one response together with what is banned in it.

    An action costs the same at any depth, as does asking what is banned.

    Args:
        vocab: Which ids edit.
        budget: Effective edits (those that erase something) after which all edit tokens are banned;
            None for no limit, 0 bans them from the start.
        boundary: ``MASK`` bans edit tokens while the response is empty; ``NOOP`` lets them do nothing.
        tabu: Never return to a state that an edit has left: the last token of the erased span is banned
            at its exact live prefix. After a step backtrack or a restart this bans completing the same
            span again, not its first token.

    Raises:
        SettingsError: The budget is negative.
    """

    def __init__(
        self,
        vocab: EditVocab,
        *,
        budget: int | None = None,
        boundary: Boundary = Boundary.NOOP,
        tabu: bool = False,
    ) -> None:
        if budget is not None and budget < 0:
            raise SettingsError(f"The backtrack budget is {budget}.", "Give 0 or more, or null for no limit.")
        self.state = EditState(vocab)
        self.effective_edits = 0
        self._budget = budget
        self._boundary = boundary
        self._rejected = _Rejected(self.state.live_ids) if tabu else None

    @property
    def edits_left(self) -> int | None:
        """How many effective edits may follow; None for any number."""
        return None if self._budget is None else max(self._budget - self.effective_edits, 0)

    @property
    def edits_banned(self) -> bool:
        """Whether the next action must not be an edit."""
        return self.edits_left == 0 or (self._boundary is Boundary.MASK and self.state.depth == 0)

    @property
    def text_may_change_bans(self) -> bool:
        """Whether other ids may be banned after the next token of text than now; an edit may always."""
        leaves_boundary = self._boundary is Boundary.MASK and self.state.depth == 0
        return leaves_boundary or (self._rejected is not None and self._rejected.near)

    def banned(self) -> frozenset[int]:
        """Ids that must not be sampled next."""
        edits = self.state.vocab.edit_ids if self.edits_banned else NOTHING
        return edits | self._rejected.tokens() if self._rejected is not None else edits

    def push(self, token_id: int) -> tuple[int, ...]:
        """Apply one sampled action; returns the indices of the actions it erased, as ``EditState.push``."""
        state, rejected = self.state, self._rejected
        if state.vocab.kind(token_id) is EditKind.TEXT:
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
        for index, token_id in enumerate(ids):
            if token_id in edit_ids:
                self._append(ids[start:index])
                self.push(token_id)
                start = index + 1
        self._append(ids[start:])

    def _append(self, text_ids: Sequence[int]) -> None:
        if text_ids:
            self.state.extend(text_ids)
            if self._rejected is not None:
                self._rejected.follow()


class _Rejected:
    """Which tokens were rejected behind which live prefix.

    For the beginnings of the live tokens this is a stack. What an edit deletes goes into a tree of prefixes,
    from where it comes back if the same tokens become live again.

    Args:
        live_ids: The list that :class:`EditState` updates in place.
    """

    def __init__(self, live_ids: list[int]) -> None:
        self._live_ids = live_ids
        self._stack: list[tuple[int, frozenset[int]]] = []  # length of a beginning, tokens rejected behind it
        self._tokens: dict[int, frozenset[int]] = {}  # the same by number of a prefix in the tree
        self._children: dict[tuple[int, int], int] = {}  # number of a prefix and a token -> longer prefix
        self._path = [0]  # numbers of the beginnings of the live tokens that are in the tree, by length

    @property
    def near(self) -> bool:
        """Whether other tokens may be rejected behind the next token of text than here."""
        in_tree = bool(self._children) and len(self._path) == len(self._live_ids) + 1
        return in_tree or bool(self.tokens())

    def tokens(self) -> frozenset[int]:
        """The tokens that were rejected behind the live tokens."""
        if self._stack and self._stack[-1][0] == len(self._live_ids):
            return self._stack[-1][1]
        return NOTHING

    def follow(self) -> None:
        """Live tokens were appended."""
        path = self._path
        for depth in range(len(path), len(self._live_ids) + 1):
            child = self._children.get((path[-1], self._live_ids[depth - 1]))
            if child is None:
                return
            path.append(child)
            if child in self._tokens:
                self._stack.append((depth, self._tokens[child]))

    def retreat(self, keep: int) -> None:
        """Live tokens will be deleted until ``keep`` are left: reject the last behind those before it."""
        depth = len(self._live_ids) - 1
        self._shelve(depth)
        rejected = frozenset(self._live_ids[-1:])
        if self._stack and self._stack[-1][0] == depth:
            rejected |= self._stack.pop()[1]
        self._stack.append((depth, rejected))
        self._shelve(keep)
        del self._path[keep + 1 :]

    def _shelve(self, keep: int) -> None:
        """Move what is behind beginnings of more than ``keep`` tokens into the tree."""
        while self._stack and self._stack[-1][0] > keep:
            depth, rejected = self._stack.pop()
            for token_id in self._live_ids[len(self._path) - 1 : depth]:
                child = len(self._children) + 1
                self._children[self._path[-1], token_id] = child
                self._path.append(child)
            self._tokens[self._path[depth]] = rejected
