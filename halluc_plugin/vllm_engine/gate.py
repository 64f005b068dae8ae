"""What one request may sample next, worked out from the output that vLLM keeps of it.

In soft context vLLM appends every action to that list. In hard context it holds the live tokens: a text
token extends it, an effective edit shortens it, an edit on an empty response leaves it alone.
"""

from vllm.sampling_params import SamplingParams

from halluc_plugin.decoding.policy import EditPolicy
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import TraceError
from halluc_plugin.settings import Context
from halluc_plugin.vllm_engine.request import EditRequest

POLICY = "_halluc_policy"


class Gate:
    """Follows one request through the steps of the engine.

    Args:
        request: What it asked for.
        params: Its sampling parameters. In hard context they also carry its policy: budget spent and states
            rejected are not in the output list, and a preempted request is added to the batch anew, with the
            same parameters (which :class:`.scheduler.RewindScheduler` made its own).
        output_ids: The list that vLLM updates in place.
    """

    def __init__(self, request: EditRequest, params: SamplingParams, output_ids: list[int]) -> None:
        self._output_ids = output_ids
        self._hard = request.context is Context.HARD
        self._policy: EditPolicy = getattr(params, POLICY, None) or EditPolicy(
            request.vocab, budget=request.budget, boundary=request.boundary, tabu=request.tabu
        )
        self._min_tokens = params.min_tokens if self._hard else 0  # vLLM lets go of it once it is reached
        self._stop_ids = frozenset(params.all_stop_token_ids) if self._min_tokens else frozenset()
        self._seen = 0
        if self._hard:
            setattr(params, POLICY, self._policy)

    @classmethod
    def of(
        cls, params: SamplingParams, _prompt_ids: list[int] | None, output_ids: list[int]
    ) -> "Gate | None":
        """The gate of a request that joins the batch; None when nothing can ever be banned for it."""
        request = EditRequest.from_extra_args(params.extra_args)
        if request is None:
            return None
        limited = request.budget is not None or request.boundary is Boundary.MASK or request.tabu
        if limited or (request.context is Context.HARD and params.min_tokens):
            return cls(request, params, output_ids)
        return None

    def banned(self) -> frozenset[int]:
        """Ids that must not be sampled now.

        Raises:
            TraceError: The output changed as no single action can change it.
        """
        if self._hard:
            self._follow_live()
        else:
            self._follow_raw()
        banned = self._policy.banned()
        if self._policy.state.depth < self._min_tokens:
            return banned | self._stop_ids
        return banned

    def _follow_raw(self) -> None:
        if len(self._output_ids) < self._seen:
            raise TraceError(
                f"A request's output shrank from {self._seen} to {len(self._output_ids)} tokens.",
                "Do not combine soft context with a scheduler that rewinds the request.",
            )
        for token_id in self._output_ids[self._seen :]:
            self._policy.push(token_id)
        self._seen = len(self._output_ids)

    def _follow_live(self) -> None:
        state = self._policy.state
        depth = len(self._output_ids)
        if depth == state.depth:
            return  # nothing was sampled (a chunk of a prefill), or an edit had nothing to erase
        if depth == state.depth + 1:
            self._policy.push(self._output_ids[-1])
            return
        # Which edit it was the list does not tell; all that land here have the same effect.
        for token_id in state.vocab.edit_ids:
            if state.depth_after(token_id) == depth:
                self._policy.push(token_id)
                return
        raise TraceError(
            f"A request's live output went from {state.depth} to {depth} tokens in one action.",
            "Report this with the version of vLLM: its engine does not work as the tested ones do.",
        )
