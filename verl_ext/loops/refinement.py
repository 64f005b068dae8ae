"""The agent loop ``refine`` for verl: an answer, a request to try again, a second answer.

It is the baseline with two turns.
"""

from typing import Any
from uuid import uuid4

from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput, register
from verl.utils.profiler import simple_timer
from verl.workers.rollout.replica import TokenOutput

from halluc_plugin.errors import SettingsError, TraceError
from verl_ext.columns import STATISTICS, TURNS
from verl_ext.compat import initial_ids, merged_turn
from verl_ext.engine_limits import ById, limits_of
from verl_ext.loops.seeds import seeded
from verl_ext.run_settings import from_config


@register("refine")
class RefineAgentLoop(AgentLoopBase):
    """Runs two attempts in one response of at most ``data.max_response_length`` tokens.

    The first attempt gets half of the tokens that the request to try again (``halluc.turns.instruction``)
    leaves. The model learns from both attempts, never from the request. Only text is supported.

    Raises:
        SettingsError: The ``halluc:`` block is wrong.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._instruction = from_config(self.config).turns.instruction
        self._limits = limits_of(ById(self.config), ById(self.tokenizer))
        self._max_tokens = self._limits.response_length

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """Sample both attempts.

        Args:
            sampling_params: The sampling parameters of verl.
            **kwargs: The data row; ``raw_prompt`` holds the messages.

        Returns:
            Both attempts and the request between them as one response.

        Raises:
            SettingsError: The request leaves no room for two attempts.
            TraceError: The engine returned nothing, or log-probs that do not fit the ids.
        """
        messages, metrics = list(kwargs["raw_prompt"]), AgentLoopMetrics()
        ids = await initial_ids(self, messages)
        prompt = list(ids)
        mask: list[int] = []
        log_probs: list[float] = []
        timing: dict[str, float] = {}
        room = self._room_for_one(len(await self._request(messages, "", [])))
        with simple_timer("generate_sequences", timing):
            params = seeded(sampling_params, self.rollout_config, kwargs, prompt)
            first = await self._attempt(ids, params, room, **kwargs)
            ids, mask, log_probs = self._grown(ids, mask, log_probs, first)
            said = self.tokenizer.decode(first.token_ids, skip_special_tokens=True)
            asked = await self._request(messages, said, ids)
            mask, log_probs = mask + [0] * len(asked), log_probs + [0.0] * len(asked)
            ids = ids + asked
            begins, left = len(mask), self._max_tokens - len(mask)
            params = seeded(sampling_params, self.rollout_config, kwargs, prompt, part=1)
            second = await self._attempt(ids, params, left, **kwargs)
            cut_off = self._limits.cut_off(
                list(second.token_ids), len(ids), {**params, "max_tokens": left}, second.stop_reason
            )
            ids, mask, log_probs = self._grown(ids, mask, log_probs, second)
        metrics.generate_sequences = timing["generate_sequences"]
        return AgentLoopOutput(
            prompt_ids=prompt,
            response_ids=ids[len(prompt) :],
            response_mask=mask,
            response_logprobs=log_probs if second.log_probs is not None else None,
            num_turns=4,
            metrics=metrics,
            extra_fields={
                **second.extra_fields,
                TURNS: [len(first.token_ids), begins],
                STATISTICS: {"truncated": int(cut_off)},
            },
        )

    def _room_for_one(self, request: int) -> int:
        room = (self._max_tokens - request) // 2
        if room < 1:
            raise SettingsError(
                f"data.max_response_length={self._max_tokens} leaves no room for two attempts and the "
                f"{request} tokens of halluc.turns.instruction.",
                "Raise it, or shorten the instruction.",
            )
        return room

    async def _request(self, messages: list[dict[str, Any]], said: str, ids: list[int]) -> list[int]:
        """Return the ids that ask for another attempt, as the chat template writes them after ``ids``."""
        before = [*messages, {"role": "assistant", "content": said}]
        after = [*before, {"role": "user", "content": self._instruction}]
        merged = await merged_turn(self, before, after, ids)
        if merged.removed_prefix_token_count:
            raise TraceError(
                "The chat template rewrites what was sampled before the request to try again.",
                "Use a model whose template appends turns.",
            )
        return list(merged.token_ids[len(ids) :])

    async def _attempt(
        self, ids: list[int], sampling_params: dict[str, Any], room: int, **kwargs: Any
    ) -> TokenOutput:
        sampled: TokenOutput = await self.server_manager.generate(
            request_id=uuid4().hex,
            prompt_ids=ids,
            sampling_params={**sampling_params, "max_tokens": room},
            priority=int(kwargs.get("priority", 0)),
        )
        if not sampled.token_ids:
            raise TraceError(
                f"The engine returned no token (stop reason {sampled.stop_reason!r}).",
                "Look for the cause in the rollout server's log.",
            )
        return sampled

    def _grown(
        self, ids: list[int], mask: list[int], log_probs: list[float], sampled: TokenOutput
    ) -> tuple[list[int], list[int], list[float]]:
        new = list(sampled.token_ids)
        scored = [0.0] * len(new) if sampled.log_probs is None else list(sampled.log_probs)
        if len(scored) != len(new):
            raise TraceError(
                f"The engine returned {len(new)} tokens with {len(scored)} log-probs.",
                "Report this with your vLLM version; no log-prob is ever made up.",
            )
        return ids + new, mask + [1] * len(new), log_probs + scored
