"""vLLM logits processor: no edit token once the budget is spent, nor, if so asked, on an empty response."""

import torch
from vllm.config import VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from halluc_plugin.edits import EditState
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import HallucError, TraceError
from halluc_plugin.vllm_engine.request import EditRequest


class EditBudget(LogitsProcessor):
    """Bans the edit tokens of requests that set limits (:class:`.request.EditRequest`); free for all others.

    The rule is the one of :func:`halluc_plugin.edits.builders.budget_mask`, applied as the response grows.
    With ``logprobs_mode="processed_logprobs"`` the returned log-probs are those of the policy so restricted.
    """

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Refuse a request with bad limits, in the front end, before it is queued.

        Raises:
            ValueError: Naming what is wrong; a server answers 400.
        """
        try:
            EditRequest.from_extra_args(sampling_params.extra_args)
        except HallucError as error:
            raise ValueError(str(error)) from error

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:  # noqa: ARG002 (vLLM's signature)
        self._device = device
        self._minus_infinity = torch.tensor(-torch.inf, device=device)
        self._gates: dict[int, _Gate] = {}

    def is_argmax_invariant(self) -> bool:
        """A banned token may be the likeliest one."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow requests that enter, leave and move within the batch."""
        process_dict_updates(self._gates, batch_update, _gate)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Ban in place.

        Args:
            logits: Float[requests, vocabulary].

        Returns:
            The same tensor.
        """
        rows: list[int] = []
        columns: list[int] = []
        for row, gate in self._gates.items():
            # Not in update_state: with asynchronous scheduling the last id is known only now.
            if gate.closed():
                rows.extend([row] * len(gate.edit_ids))
                columns.extend(gate.edit_ids)
        if rows:
            index = torch.tensor([rows, columns], device=self._device)
            logits.index_put_((index[0], index[1]), self._minus_infinity.to(logits.dtype))
        return logits


class _Gate:
    """Follows one request's output, which vLLM extends in place."""

    def __init__(self, request: EditRequest, output_ids: list[int]) -> None:
        self.edit_ids = sorted(request.vocab.edit_ids)
        self._request = request
        self._output_ids = output_ids
        self._state = EditState(request.vocab)
        self._seen = 0
        self._spent = 0

    def closed(self) -> bool:
        """Whether edits are banned for the next action."""
        if len(self._output_ids) < self._seen:
            raise TraceError(
                f"A request's output shrank from {self._seen} to {len(self._output_ids)} tokens.",
                "Do not combine a budget in soft context with a scheduler that rewinds.",
            )
        for token_id in self._output_ids[self._seen :]:
            erased = self._state.push(token_id)
            self._spent += bool(erased)
        self._seen = len(self._output_ids)
        budget = self._request.budget
        spent = budget is not None and self._spent >= budget
        return spent or (self._request.boundary is Boundary.MASK and self._state.depth == 0)


def _gate(params: SamplingParams, _: list[int] | None, output_ids: list[int]) -> _Gate | None:
    request = EditRequest.from_extra_args(params.extra_args)
    if request is None or (request.budget is None and request.boundary is Boundary.NOOP):
        return None
    return _Gate(request, output_ids)
