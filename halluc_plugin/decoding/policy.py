"""What one response may sample next: budget, prompt boundary and tabu, as functions of its live tokens.

Budget and boundary are functions of the trace, so training applies the same mask when it computes
log-probs (:func:`halluc_plugin.edits.builders.budget_mask`). Tabu is for evaluation only.
"""

from collections import defaultdict

from halluc_plugin.edits import EditKind, EditState, EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError


class EditPolicy:
    """The edit state of one response together with what is banned in it.

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
        self._rejected: defaultdict[tuple[int, ...], set[int]] | None = defaultdict(set) if tabu else None

    @property
    def edits_banned(self) -> bool:
        """Whether the next action must not be an edit."""
        spent = self._budget is not None and self.effective_edits >= self._budget
        return spent or (self._boundary is Boundary.MASK and self.state.depth == 0)

    def banned(self) -> frozenset[int]:
        """Ids that must not be sampled next."""
        edits = self.state.vocab.edit_ids if self.edits_banned else frozenset()
        if self._rejected is None:
            return edits
        return edits | self._rejected.get(tuple(self.state.live_ids), frozenset())

    def push(self, token_id: int) -> tuple[int, ...]:
        """Apply one sampled action; returns the indices of the actions it erased, as ``EditState.push``."""
        vocab = self.state.vocab
        if self._rejected is not None and vocab.kind(token_id) is not EditKind.TEXT and self.state.live_ids:
            *prefix, last = self.state.live_ids
            self._rejected[tuple(prefix)].add(last)
        erased = self.state.push(token_id)
        self.effective_edits += bool(erased)
        return erased
