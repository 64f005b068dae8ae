"""Follow the requests in which a signal of logits takes text back, in hard context."""

from collections.abc import Mapping

import torch
from vllm.sampling_params import SamplingParams

from halluc_plugin.decoding.signals import text_signal
from halluc_plugin.decoding.triggers import TextSignal, Trigger, Watch
from halluc_plugin.errors import HallucError
from halluc_plugin.vllm_engine.request import EditRequest

ERASURE = "_halluc_erasure"


class Erasure:
    """Follows one request.

    Args:
        request: The edit settings of the request.
        trigger: The settings by which a signal takes text back.
        output_ids: The live tokens, a list that vLLM updates in place.
    """

    __slots__ = ("left_out", "output_ids", "trigger", "watch")

    def __init__(self, request: EditRequest, trigger: Trigger, output_ids: list[int]) -> None:
        self.trigger, self.output_ids = trigger, output_ids
        self.left_out = request.vocab.edit_ids
        self.watch = Watch(trigger, request.vocab.step_delimiters)

    @classmethod
    def of(
        cls, params: SamplingParams, _prompt_ids: list[int] | None, output_ids: list[int]
    ) -> "Erasure | None":
        """Return the follower of a request that joins the batch, None if no signal takes text back in it.

        It is kept with the parameters, since a preempted request joins again.
        """
        known = getattr(params, ERASURE, None)
        if isinstance(known, Erasure):
            known.output_ids = output_ids
            return known
        try:
            request = EditRequest.from_extra_args(params.extra_args)
        except HallucError:  # the gate of limits tells it
            return None
        if request is None or request.trigger is None:
            return None
        made = cls(request, request.trigger, output_ids)
        setattr(params, ERASURE, made)
        return made


def erase(logits: torch.Tensor, followed: Mapping[int, Erasure]) -> dict[int, int]:
    """Return the rows in which text is taken back now, with the edit that does it.

    Args:
        logits: The logits of each request, before limits, Float[requests, vocabulary].
        followed: The followers, by row.
    """
    found = {}
    for row, erasure in followed.items():
        signal = erasure.trigger.signal
        assert isinstance(signal, TextSignal)  # others are refused with the request
        value = float(text_signal(logits[row], signal, erasure.left_out))
        gated = erasure.trigger.gate is not None
        entropy = float(text_signal(logits[row], TextSignal.ENTROPY, erasure.left_out)) if gated else 0.0
        if erasure.watch.edit_now(erasure.output_ids, value, entropy):
            found[row] = erasure.trigger.edit_id
    return found
