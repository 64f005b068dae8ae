"""The reference semantics: a plain stack, one action at a time.

The MDP: a state is the prompt and the live tokens. A text token (EOS too) appends itself. A backtrack
deletes the last live token. A step backtrack deletes the last live token always, then back to just after
the nearest earlier delimiter. A restart deletes everything. Edits on an empty response change nothing.
"""

from collections.abc import Iterable, Sequence

from halluc_plugin.edits.vocab import EditVocab
from halluc_plugin.errors import TraceError


class EditState:
    """The live tokens of one response, updated by one action at a time.

    Args:
        vocab: The edit vocabulary of the ids.

    Attributes:
        live_ids: Ids that are live now, oldest first; read-only.
        live_indices: For each live id, the index of the action that wrote it; read-only.
    """

    def __init__(self, vocab: EditVocab) -> None:
        self.vocab = vocab
        self.live_ids: list[int] = []
        self.live_indices: list[int] = []
        self._actions = 0

    @property
    def depth(self) -> int:
        """The number of live tokens."""
        return len(self.live_ids)

    @property
    def parent(self) -> int:
        """The index of the action that wrote the last live token, -1 at the end of the prompt."""
        return self.live_indices[-1] if self.live_indices else -1

    def push(self, token_id: int) -> tuple[int, ...]:
        """Apply one action.

        Args:
            token_id: Id of the sampled token.

        Returns:
            Indices of the actions whose tokens this action erased, oldest first. Empty for text and for
            an edit at the prompt boundary.

        Raises:
            TraceError: ``token_id`` is negative.
        """
        if token_id < 0:
            raise TraceError(
                f"Token id {token_id} is negative.", "Pass only valid actions; cut padding off first."
            )
        index = self._actions
        self._actions += 1
        if token_id not in self.vocab.edit_ids:
            self.live_ids.append(token_id)
            self.live_indices.append(index)
            return ()
        keep = self.depth_after(token_id)
        erased = tuple(self.live_indices[keep:])
        del self.live_ids[keep:]
        del self.live_indices[keep:]
        return erased

    def depth_after(self, token_id: int) -> int:
        """Return how many tokens would be live after this action, without applying it."""
        vocab = self.vocab
        if token_id not in vocab.edit_ids:
            return len(self.live_ids) + 1
        stops = vocab.stops[token_id]
        keep = len(self.live_ids) - 1
        if stops is None:
            return max(keep, 0)
        if not stops:
            return 0
        while keep > 0 and self.live_ids[keep - 1] not in stops:
            keep -= 1
        return max(keep, 0)

    def extend(self, ids: Iterable[int]) -> "EditState":
        """Apply several actions and return self."""
        ids = list(ids)
        if ids and min(ids) >= 0 and self.vocab.edit_ids.isdisjoint(ids):
            # Text alone, as most of what is sampled: the same without a call for each token.
            self.live_ids += ids
            self.live_indices += range(self._actions, self._actions + len(ids))
            self._actions += len(ids)
            return self
        for token_id in ids:
            self.push(token_id)
        return self


def collapse(ids: Sequence[int], vocab: EditVocab) -> list[int]:
    """Return the ids that are left after all edits are applied.

    Args:
        ids: Actions of one response in sampling order, without prompt and padding.
        vocab: The edit vocabulary of the ids.

    Returns:
        The resolved ids.

    Raises:
        TraceError: An id is negative.
    """
    return EditState(vocab).extend(ids).live_ids
