"""The scheduler of hard context, in which a sampled edit token rewinds its request."""

import copy
import logging
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from vllm.config import VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import KVCacheConfig
from vllm.v1.request import Request, RequestStatus

from halluc_plugin.edits import Context, EditKind, EditState
from halluc_plugin.errors import HallucError, SettingsError
from halluc_plugin.vllm_engine.compat import Model, require_tested_vllm
from halluc_plugin.vllm_engine.request import EditRequest
from halluc_plugin.vllm_engine.requirements import (
    check_config,
    check_kv_cache,
    check_processors,
    check_request,
)
from halluc_plugin.vllm_engine.rewind import Blocks, rewind

logger = logging.getLogger(__name__)


@dataclass
class _Trace:
    """A request in hard context.

    Attributes:
        state: Its live tokens.
        max_actions: Raw actions after which it ends.
        num_actions: Raw actions so far.
    """

    state: EditState
    max_actions: int
    num_actions: int = 0


class RewindScheduler(Scheduler):
    """vLLM's synchronous scheduler, in which edits of requests with ``context=hard`` take effect.

    The client receives every action with its log-prob, erased tokens and edits included; the model sees only
    the live tokens. Requests in soft context and requests without edit settings are scheduled as by vLLM.

    vLLM gets the scheduler by :data:`halluc_plugin.vllm_engine.launch.ENGINE_ARGS`. Stop ids, EOS,
    ``min_tokens`` and ``max_model_len`` act on the live tokens; ``max_tokens`` counts raw actions unless the
    request says otherwise (:class:`.request.EditRequest`).

    Raises:
        HostVersionError: vLLM is outside the tested window.
        SettingsError: The engine cannot rewind exactly.
    """

    rewinds: ClassVar[bool] = True

    def __init__(
        self, vllm_config: VllmConfig, kv_cache_config: KVCacheConfig, *args: Any, **kwargs: Any
    ) -> None:
        require_tested_vllm()
        check_config(vllm_config)
        check_processors(vllm_config)
        check_kv_cache(kv_cache_config)
        if vllm_config.scheduler_config.async_scheduling:
            logger.warning(
                "RewindScheduler schedules synchronously; async_scheduling=False also spares what vLLM does "
                "to run ahead."
            )
        super().__init__(vllm_config, kv_cache_config, *args, **kwargs)
        self._traces: dict[str, _Trace] = {}
        self._refused: set[str] = set()
        self._vocab_size = vllm_config.model_config.get_vocab_size()

    def add_request(self, request: Request) -> None:
        """Queue a request.

        A wrong request ends with an error in place of an answer, since an exception here would end the engine
        for everyone. The front end refuses what it can see (:class:`.bans.RewindBans`). The rest are prompts
        that arrive in parts, a generation config that ends texts with an edit token, and front ends without
        that check.
        """
        if request.request_id not in self.requests:  # else the next part of a prompt
            try:
                self._follow(request)
            except HallucError as error:
                logger.error("Request %s ends with an error: %s", request.request_id, error)  # noqa: TRY400
                self._refused.add(request.request_id)
                request.sampling_params = SamplingParams(max_tokens=1)  # nothing that could do harm
        super().add_request(request)

    def _follow(self, request: Request) -> None:
        params = request.sampling_params
        asked = EditRequest.from_extra_args(params.extra_args) if params is not None else None
        if asked is None or params is None:
            return
        eos = {params.eos_token_id} - {None}
        check_request(asked, params, Model(self._vocab_size, frozenset(eos)))
        if asked.context is Context.SOFT:
            return
        if request.resumable:
            raise SettingsError(
                "A request in hard context streams its prompt, which is untested.",
                "Give the whole prompt at once, or use soft context.",
            )
        # Gate stays with the request's parameters; with n > 1 vLLM may give all n the same.
        request.sampling_params = copy.copy(params)
        max_actions = request.max_tokens if asked.max_actions is None else asked.max_actions
        self._traces[request.request_id] = _Trace(EditState(asked.vocab), max_actions)

    def _update_request_with_output(
        self, request: Request, new_token_ids: list[int], *args: Any, **kwargs: Any
    ) -> tuple[list[int], bool]:
        if request.request_id in self._refused:
            request.status, request.resumable = RequestStatus.FINISHED_ERROR, False
            return [], True
        trace = self._traces.get(request.request_id)
        if trace is None:
            return super()._update_request_with_output(request, new_token_ids, *args, **kwargs)
        (token_id,) = new_token_ids  # no drafts, so one action a step
        trace.state.push(token_id)
        trace.num_actions += 1
        stopped = False
        if trace.state.vocab.kind(token_id) is EditKind.TEXT:
            _, stopped = super()._update_request_with_output(request, new_token_ids, *args, **kwargs)
        if not stopped and trace.num_actions >= trace.max_actions:
            request.status = RequestStatus.FINISHED_LENGTH_CAPPED
            stopped = True
        if not stopped and trace.state.vocab.kind(token_id) is not EditKind.TEXT:
            self._rewind(request, trace.state.depth)
        return [token_id], stopped

    def _rewind(self, request: Request, depth: int) -> None:
        if rewind(request, depth, self.kv_cache_manager) is Blocks.SHARED:
            # What was computed stays in the prefix cache, where this request finds it again.
            self.running.remove(request)
            self._preempt_request(request, time.monotonic())
            # It may be resumed in the very next step, which vLLM tells from steps without a pause by this.
            self.prev_step_scheduled_req_ids.discard(request.request_id)

    def _free_request(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        self._traces.pop(request.request_id, None)
        self._refused.discard(request.request_id)
        return super()._free_request(request, *args, **kwargs)
