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

from halluc_plugin.edits import Context, EditState
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


@dataclass(slots=True)
class _Trace:
    """A request in hard context.

    Attributes:
        state: Its live tokens up to the last edit; the text since then is the end of the request's output.
        edit_ids: Ids of its edit tokens.
        max_actions: Raw actions after which it ends.
        num_actions: Raw actions so far.
    """

    state: EditState
    edit_ids: frozenset[int]
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
        that check. A later part of a prompt has settings of its own; only the message that no part is left
        has none that count.
        """
        if request.resumable or request.request_id not in self.requests:
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
        self._traces[request.request_id] = _Trace(EditState(asked.vocab), asked.vocab.edit_ids, max_actions)

    def _update_request_as_session(self, session: Request, update: Any) -> None:
        # vLLM drops the last token, which was not computed, but keeps the hash of a block that it filled (its
        # issue 49377): with the next part in that block, the cache would offer it for a text that it does not
        # hold, to requests in hard context too.
        size = self.kv_cache_manager.block_pool.hash_block_size
        del session.block_hashes[session.num_computed_tokens // size :]
        super()._update_request_as_session(session, update)

    def _update_request_with_output(
        self, request: Request, new_token_ids: list[int], *args: Any, **kwargs: Any
    ) -> tuple[list[int], bool]:
        # Once for each request of each step, so that what most of them need comes first.
        trace = self._traces.get(request.request_id)
        if trace is None:
            if self._refused and request.request_id in self._refused:
                request.status, request.resumable = RequestStatus.FINISHED_ERROR, False
                return [], True
            return super()._update_request_with_output(request, new_token_ids, *args, **kwargs)
        (token_id,) = new_token_ids  # no drafts, so one action a step
        trace.num_actions += 1
        is_text, stopped = token_id not in trace.edit_ids, False
        if is_text:
            _, stopped = super()._update_request_with_output(request, new_token_ids, *args, **kwargs)
        # Below min_tokens vLLM asks for no end, not even where the model has no position left.
        full = trace.num_actions >= trace.max_actions or request.num_tokens >= self.max_model_len
        if full and not stopped:
            request.status, stopped = RequestStatus.FINISHED_LENGTH_CAPPED, True
        if not (is_text or stopped):
            trace.state.extend(request.output_token_ids[trace.state.depth :])
            trace.state.push(token_id)
            self._rewind(request, trace.state.depth)
        return new_token_ids, stopped

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
