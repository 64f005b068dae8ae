"""One response that is being written: what it may sample next, what it is fed, and when it is finished."""

from collections.abc import Sequence

from halluc_plugin.decoding.asked import DecodedTrace, Decoding, Finish
from halluc_plugin.decoding.drawing import Known
from halluc_plugin.decoding.policy import NOTHING, EditPolicy
from halluc_plugin.edits import Context


class Row:
    """One response being written.

    Args:
        number: Its number among the prompts.
        prompt: The ids of its prompt.
        decoding: The settings of the decoding.
        limit: Largest number of its actions.
        positions: Number of positions that the model has, None for any.
    """

    def __init__(
        self, number: int, prompt: Sequence[int], decoding: Decoding, limit: int, positions: int | None
    ) -> None:
        self.number = number
        self.prompt, self._limit = list(prompt), min(limit, decoding.max_actions)
        self._room = None if positions is None else positions - len(prompt)
        self.policy = EditPolicy(
            decoding.vocab, budget=decoding.budget, boundary=decoding.boundary, tabu=decoding.tabu
        )
        self._forcing, self._eos_ids = decoding.forcing, decoding.eos_ids
        self._held = 0
        self._pending: list[int] = []
        self.ids: list[int] = []
        self.known: list[Known] = []
        self.values: list[float] = []
        self.finish: Finish | None = None
        self.banned_first = NOTHING

    def banned(self) -> frozenset[int]:
        """Return the ids that must not be sampled next."""
        banned = self.policy.banned() if self.ids else self.policy.banned() | self.banned_first
        if self._forcing is not None and not self._forcing.instead and not self._may_end():
            return banned | self._eos_ids
        return banned

    @property
    def decided(self) -> int | None:
        """The id that the next action is, in the place of an end; None if it is sampled."""
        return self._pending[0] if self._pending and self.finish is None else None

    def next_input(self, context: Context) -> tuple[int, int]:
        """Return the token to feed and its position: the context's last, fed again after an edit."""
        seen = self._seen(context)
        last = seen[-1] if seen else self.prompt[-1]
        return last, len(self.prompt) - 1 + len(seen)

    def push(self, token_id: int, known: Known, decoding: Decoding) -> None:
        """Take an action, unless it is an end that is held back.

        Args:
            token_id: The action.
            known: Its log-probability, the entropy before it, and the probability of an edit.
            decoding: The settings of the decoding.
        """
        if self._pending:
            self._pending.pop(0)
        elif token_id in decoding.eos_ids and (instead := self._instead()):
            self._held += 1
            self._pending = list(instead)
            return
        self.ids.append(token_id)
        self.known.append(known)
        self.policy.push(token_id)
        full = self._room is not None and len(self._seen(decoding.context)) >= self._room
        if token_id in decoding.eos_ids:
            self.finish = Finish.EOS
        elif full or len(self.ids) >= self._limit:
            self.finish = Finish.LENGTH

    def _instead(self) -> tuple[int, ...]:
        """What is written in the place of an end now."""
        forcing = self._forcing
        return () if forcing is None or not forcing.instead or self._may_end() else forcing.instead

    def _may_end(self) -> bool:
        assert self._forcing is not None
        taken_back = max(self.policy.effective_edits, self._held)
        return self._forcing.lets_end(self.number, self.policy.state.live_ids, taken_back)

    def _seen(self, context: Context) -> Sequence[int]:
        """What the model sees of what was written."""
        return self.policy.state.live_ids if context is Context.HARD else self.ids

    def trace(self) -> DecodedTrace:
        """Return the finished response."""
        assert self.finish is not None
        logprobs, entropies, edit_probs = map(list, zip(*self.known, strict=True))
        return DecodedTrace(self.ids, logprobs, self.finish, entropies, edit_probs, self.values)
