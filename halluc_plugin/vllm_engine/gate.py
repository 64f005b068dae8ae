"""Decide what one request may sample next, from the output that vLLM keeps of it.

In soft context vLLM appends every action to that list. In hard context the list holds the live tokens: a text
token extends it, an effective edit shortens it, and an edit on an empty response does not change it.
"""

import logging
import sys
from collections.abc import Sequence

from vllm.sampling_params import SamplingParams

from halluc_plugin.decoding.policy import EditPolicy, Tabu
from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import HallucError, TraceError
from halluc_plugin.vllm_engine.request import EditRequest

logger = logging.getLogger(__name__)

GATE = "_halluc_gate"


class Gate:
    """Follows one request through the steps of the engine.

    Args:
        request: The edit settings of the request.
        params: The sampling parameters of the request.
        output_ids: The list that vLLM updates in place.

    Attributes:
        bans: Ids that must not be sampled after the actions taken into account.
        length: Length of the list at that point.
        wake: Length below which the bans stay the same while text is appended.
        low: Length from which on the bans stay the same while single tokens are taken back, at most ``slack``
            times.
        slack: Number of single tokens that can be taken back before the bans may change.
        settled: Whether the bans stay the same until the request ends.
        edits_in_output: Ids that are edits if the list holds them.
        backtrack: Id of the edit that takes one token back.
    """

    __slots__ = (
        "_each_edit_counts", "_hard", "_lowest", "_min_tokens", "_noted", "_policy", "_stop_ids", "_tabu",
        "backtrack", "bans", "edits_in_output", "length", "low", "output_ids", "settled", "slack", "wake",
    )  # fmt: skip

    def __init__(self, request: EditRequest, params: SamplingParams, output_ids: list[int]) -> None:
        self.output_ids = output_ids
        self._hard = request.context is Context.HARD
        self._tabu = request.tabu is not Tabu.OFF
        self._each_edit_counts = self._tabu or not self._hard
        self._lowest = 1 if request.boundary is Boundary.MASK else 0
        self.backtrack = request.vocab.backtrack
        self._policy = EditPolicy(
            request.vocab, budget=request.budget, boundary=request.boundary, tabu=request.tabu
        )
        self.edits_in_output = frozenset() if self._hard else request.vocab.edit_ids
        self._min_tokens = params.min_tokens if self._hard else 0  # vLLM lets go of it once it is reached
        self._stop_ids = frozenset(params.all_stop_token_ids) if self._min_tokens else frozenset()
        self.length = 0
        self.bans: frozenset[int]
        self.settled: bool
        self._noted: list[int] = []  # taken in, but the policy does not know of it yet
        self._judge()

    @classmethod
    def of(
        cls, params: SamplingParams, _prompt_ids: list[int] | None, output_ids: list[int]
    ) -> "Gate | None":
        """Return the gate of a request that joins the batch, None if nothing can ever be banned for it.

        In hard context the gate is kept with the parameters, of which :class:`.scheduler.RewindScheduler`
        gave the request its own copy: the spent budget and rejected states cannot be seen in the output list,
        and a preempted request joins the batch again.
        """
        gate = getattr(params, GATE, None)
        if isinstance(gate, Gate):
            gate.output_ids = output_ids
            return gate
        try:
            request = EditRequest.from_extra_args(params.extra_args)
        except HallucError as error:  # the front end refuses such a request, but it may be another one
            logger.error("A request is sampled without limits on edits: %s", error)  # noqa: TRY400
            return None
        if request is None:
            return None
        tabu = request.tabu is not Tabu.OFF
        limited = request.budget is not None or request.boundary is Boundary.MASK or tabu
        if not limited and not (request.context is Context.HARD and params.min_tokens):
            return None
        gate = cls(request, params, output_ids)
        if gate._hard:
            setattr(params, GATE, gate)
        return gate

    def banned(self) -> frozenset[int]:
        """Return the ids that must not be sampled now.

        Raises:
            TraceError: The output changed as no single action can change it.
        """
        self.advance()
        return self.bans

    def note(self, actions: Sequence[int]) -> None:
        """Take actions into account that change no ban: text, or in hard context single tokens taken back."""
        if self.settled:
            return
        taken_back = actions.count(self.backtrack)
        self._noted += actions
        self.length += len(actions) - 2 * taken_back
        self.slack -= taken_back

    def advance(self) -> bool:
        """Take what was sampled since into account; in hard context that is at most one action.

        Returns:
            Whether the bans have changed.

        Raises:
            TraceError: The output changed as no single action can change it.
        """
        length = len(self.output_ids)
        if length == self.length or self.settled:
            return False  # nothing was sampled (a chunk of a prefill), or an edit had nothing to erase
        before = self.bans
        if length == self.length - 1 and self._last_edit_is_left:
            # What came before decides nothing any more.
            self.bans, self.length, self.settled = self._policy.state.vocab.edit_ids, length, True
            self._noted.clear()
            return self.bans != before
        if self._noted:
            self._policy.extend(self._noted)
            self._noted.clear()
        if self._hard:
            self._follow_live(length)
        else:
            self._follow_raw(length)
        self.length = length
        self._judge()
        return self.bans != before

    @property
    def _last_edit_is_left(self) -> bool:
        """Whether the next effective edit spends the budget, and nothing but the budget bans."""
        limited = self._policy.edits_left is not None
        return limited and self.slack == 0 and not (self._each_edit_counts or self._min_tokens)

    def _judge(self) -> None:
        policy, left = self._policy, self._policy.edits_left
        self.bans = policy.banned()
        self.wake = self.length + 1 if policy.text_may_change_bans else sys.maxsize
        self.low = self._lowest
        self.slack = 0 if self._each_edit_counts else sys.maxsize if left is None else left - 1
        self.settled = left == 0 and not self._tabu
        if not self._min_tokens:
            return
        if policy.state.depth < self._min_tokens:
            self.bans |= self._stop_ids
            self.wake = min(self.wake, self._min_tokens)
            self.settled = False
        else:
            self.low = max(self.low, self._min_tokens)

    def _follow_raw(self, length: int) -> None:
        if length < self.length:
            raise TraceError(
                f"A request's output shrank from {self.length} to {length} tokens.",
                "Do not combine soft context with a scheduler that rewinds the request.",
            )
        self._policy.extend(self.output_ids[self.length :])

    def _follow_live(self, length: int) -> None:
        state = self._policy.state
        depth, vocab = len(state.live_ids), state.vocab
        if length == depth + 1 and self.output_ids[-1] not in vocab.edit_ids:
            self._policy.push(self.output_ids[-1])
            return
        # Which edit it was the list does not tell; all that land here have the same effect.
        for token_id in vocab.stops:
            if state.depth_after(token_id) == length:
                self._policy.push(token_id)
                return
        raise TraceError(
            f"A request's live output went from {depth} to {length} tokens in one action.",
            "Report this with the version of vLLM: its engine does not work as the tested ones do.",
        )
