"""The logits processor of soft context, which bans what a request's own limits ban."""

from typing import Any, ClassVar

import numpy as np
import torch
from vllm.config import VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from halluc_plugin.edits import Context
from halluc_plugin.errors import HallucError, SettingsError
from halluc_plugin.vllm_engine.compat import EveryRunnersProcessor, model_of_checked_request
from halluc_plugin.vllm_engine.follow import Followed
from halluc_plugin.vllm_engine.gate import Gate
from halluc_plugin.vllm_engine.request import PREFIX, EditRequest
from halluc_plugin.vllm_engine.requirements import check_request, check_runner_v2
from halluc_plugin.vllm_engine.slots import Slots


class EditBudget(EveryRunnersProcessor):
    """Bans tokens for requests that set limits (:class:`.request.EditRequest`); costs others nothing.

    The rule is that of :class:`halluc_plugin.decoding.EditPolicy`, applied as the response grows. With
    ``logprobs_mode="processed_logprobs"`` the returned log-probs are those of the policy so restricted.

    Model runner V1 tells it of requests by ``update_state``, runner V2 by ``add_request`` and with each
    ``apply``.

    Args:
        vllm_config: The configuration of the engine.
        where: The device of the logits (V1), or what the runner keeps of its requests (V2).
        is_pin_memory: Whether memory may be pinned (V1).

    Raises:
        HostVersionError: Runner V2 is that of a vLLM outside the tested window.
        SettingsError: Runner V2 has a feature with which limits cannot be kept.

    Attributes:
        limits_edits: Marks the class among the logits processors of others.
        rewinds: Whether the engine answers in hard context.
    """

    limits_edits: ClassVar[bool] = True
    rewinds: ClassVar[bool] = False

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Refuse a request that would fail, in the front end, before it is queued.

        Raises:
            ValueError: A setting is wrong; the message names it, and a server answers 400.
        """
        try:
            request = EditRequest.from_extra_args(sampling_params.extra_args)
            if request is None:
                return
            if request.context is Context.HARD and not cls.rewinds:
                raise SettingsError(
                    f"{PREFIX}context=hard, but this engine keeps what an edit erases.",
                    "Start it with the settings of halluc_plugin.vllm_engine.launch.ENGINE_ARGS.",
                )
            check_request(request, sampling_params, model_of_checked_request())
        except HallucError as error:
            raise ValueError(str(error)) from error

    def __init__(self, vllm_config: VllmConfig, where: Any, is_pin_memory: bool = False) -> None:
        self._slots: Slots | None = None
        if not isinstance(where, torch.device):
            check_runner_v2(vllm_config)
            self._slots = Slots(where)
        self._device = where if isinstance(where, torch.device) else where.device
        self._is_pin_memory = is_pin_memory
        self._minus_infinity = torch.tensor(-torch.inf, device=self._device)
        self._gates: dict[int, Gate] = {}
        self._followed = Followed()
        self._moved = False
        self._index: tuple[torch.Tensor, torch.Tensor] | None = None
        """Long[bans] rows and ids, on the device; None when nothing is banned."""

    def is_argmax_invariant(self) -> bool:
        """Return False, since a banned token may be the likeliest one."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow requests that enter, leave and move within the batch."""
        self._moved |= process_dict_updates(self._gates, batch_update, Gate.of)

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """Follow a request that enters the batch of runner V2; return whether anything may be banned."""
        assert self._slots is not None, "runner V1 does not call this"
        return self._slots.add(req_idx, sampling_params)

    def apply(self, logits: torch.Tensor, batch: Any = None) -> torch.Tensor:
        """Set the logits of banned tokens to -inf, in place.

        Args:
            logits: The logits of each request, Float[requests, vocabulary].
            batch: Which request each row belongs to (V2); None on V1.

        Returns:
            The same tensor.

        Raises:
            TraceError: A request's output changed as no action can change it. vLLM then ends the engine with
                this error as cause.
        """
        if self._slots is not None:
            rows = self._slots.rows(batch)
            self._moved |= rows != self._gates
            self._gates = rows
        moved, self._moved = self._moved, False
        if moved:
            self._followed.release()
            self._followed = Followed(self._gates.values())
        # Not in update_state: with asynchronous scheduling the last id is known only now.
        changed = self._followed.advance()
        if moved or changed:
            self._index = self._index_of_bans(logits.shape[-1])
        if self._index is not None:
            logits.index_put_(self._index, self._minus_infinity.to(logits.dtype))
        return logits

    def _index_of_bans(self, vocab_size: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        rows: list[int] = []
        ids: list[int] = []
        for row, gate in self._gates.items():
            if gate.bans:
                rows += [row] * len(gate.bans)
                ids += gate.bans
        if not rows:
            return None
        table = np.array((rows, ids))
        # What the model does not have it cannot sample; here it would be written out of bounds.
        table = np.ascontiguousarray(table[:, table[1] < vocab_size])
        index = torch.from_numpy(table)
        if self._is_pin_memory:
            index = index.pin_memory()
        index = index.to(self._device, non_blocking=True)  # so that the step does not wait for it
        return index[0], index[1]
