"""The agent loop ``backtrack`` for verl: one generation, kept as it was sampled, with the edits' mask."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from uuid import uuid4

import torch
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput, register
from verl.utils.profiler import simple_timer
from verl.workers.rollout.llm_server import FullyAsyncLLMServerClient
from verl.workers.rollout.replica import TokenOutput

from halluc_plugin.edits import EditVocab, Resolution, resolve_row
from halluc_plugin.edits.builders import NO_LIMIT, response_mask
from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.rewards import Marks
from halluc_plugin.rl.rollout_reader import step_marks
from halluc_plugin.settings import Settings, ValueSource
from halluc_plugin.tasks import find_verifier
from halluc_plugin.tokens import edit_vocab
from halluc_plugin.vllm_engine.request import EditRequest
from verl_ext.columns import BUDGET, CONTINUATIONS, ERASED, EVENT, STATISTICS
from verl_ext.compat import initial_ids
from verl_ext.engine_limits import ById, EngineLimits, limits_of
from verl_ext.loops.continuations import Continuations, packed
from verl_ext.loops.seeds import seeded
from verl_ext.run_settings import check, from_config, has_reward_function


class BacktrackOutput(AgentLoopOutput):
    """One row of training data, with columns for the edits.

    Attributes:
        erased: For each action, 1 if it is a text token that was erased, else 0.
        event: For each action, the number of its event, -1 outside events.
        budget: Number of effective edits that could be sampled, None for no limit.
    """

    erased: list[int]
    event: list[int]
    budget: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return the row for verl.

        It has the columns ``backtrack_erased`` and ``backtrack_event`` (Long[T]) and ``backtrack_budget``
        (Long[1]). Continuations, which are many times as long as the answer, are dropped once it is scored,
        as the scores hold their values.
        """
        continuations = self.extra_fields.pop(CONTINUATIONS, None)
        row = super().as_dict()
        if continuations is not None and self.reward_score is None:
            row["extra_fields"][CONTINUATIONS] = packed(continuations)
        row[ERASED] = torch.tensor(row.pop("erased"), dtype=torch.int64)
        row[EVENT] = torch.tensor(row.pop("event"), dtype=torch.int64)
        budget = row.pop("budget")
        row[BUDGET] = torch.tensor([NO_LIMIT if budget is None else budget])
        return row


@register("backtrack")
class BacktrackAgentLoop(AgentLoopBase):
    """Runs one generation as a whole rollout, in soft or in hard context.

    In soft context the model goes on seeing what it erased; in hard context the engine rewinds, and still
    returns every action. Ids and sampled log-probs are stored exactly as the engine returned them; edits act
    only on the ``response_mask`` and the reward. Only text is supported.

    Raises:
        SettingsError: The ``halluc:`` block is wrong or contradicts verl's config.
        TokenizerError: The tokenizer is not ready for edits.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        constants = _run_constants(ById(self.config), ById(self.tokenizer))
        self._settings, self._vocab, self._marks, self._limits = constants
        self._max_tokens = self._limits.response_length
        if self._settings.needs_own_engine and isinstance(self.server_manager, FullyAsyncLLMServerClient):
            raise SettingsError(
                "The trainer resubmits interrupted answers as prompts, in which edits do nothing.",
                "Set trainer.v1.trainer_mode=backtrack_sync, or train in soft context without limits.",
            )

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> BacktrackOutput:
        """Sample one answer.

        Args:
            sampling_params: The sampling parameters of verl, passed on with the limits on edits.
            **kwargs: The data row; ``raw_prompt`` holds the messages.

        Returns:
            The raw trace with mask, log-probs and edit statistics.

        Raises:
            SettingsError: The row holds images, video or audio.
            TraceError: The engine returned nothing, or log-probs that do not fit the ids.
        """
        settings = (
            self._settings.at(int(kwargs["global_steps"])) if self._settings.curriculum else self._settings
        )
        prompt_ids = await self._prompt_ids(list(kwargs["raw_prompt"]))
        timing: dict[str, float] = {}
        with simple_timer("generate_sequences", timing):
            params = seeded(self._limited(sampling_params, settings), self.rollout_config, kwargs, prompt_ids)
            sampled = await self._generate(prompt_ids, params, **kwargs)
        ids, log_probs = self._checked(sampled)
        resolution = resolve_row(ids, self._vocab)
        extra_fields = {**sampled.extra_fields, STATISTICS: _statistics(resolution)}
        cut_off = self._limits.cut_off(ids, len(prompt_ids), params, sampled.stop_reason)
        extra_fields[STATISTICS]["truncated"] = int(cut_off)
        if self._samples_continuations(settings, kwargs):
            continuations = Continuations(settings, self._vocab, self._marks, self._max_tokens)

            async def generate(prompt: list[int], params: dict[str, Any], part: int) -> list[int]:
                params = seeded(params, self.rollout_config, kwargs, prompt_ids, part=part)
                return list((await self._generate(prompt, params, **kwargs)).token_ids)

            extra_fields[CONTINUATIONS] = await continuations.sample(
                generate, prompt_ids, ids, resolution, sampling_params
            )
        preempted = sampled.num_preempted
        return BacktrackOutput(
            prompt_ids=prompt_ids,
            response_ids=ids,
            response_mask=response_mask(resolution, settings.erased_tokens)[0].int().tolist(),
            response_logprobs=log_probs,
            num_turns=2,
            metrics=AgentLoopMetrics(**timing, num_preempted=-1 if preempted is None else preempted),
            extra_fields=extra_fields,
            erased=resolution.erased[0].int().tolist(),
            event=resolution.event[0].tolist(),
            budget=settings.max_backtracks,
        )

    def _samples_continuations(self, settings: Settings, row: Mapping[str, Any]) -> bool:
        if settings.values.source is not ValueSource.AUTO:
            return settings.samples_continuations
        custom = has_reward_function(self.config)
        return settings.values.sampled_for(None if custom else find_verifier(row["data_source"]))

    async def _generate(
        self, prompt_ids: list[int], sampling_params: dict[str, Any], **kwargs: Any
    ) -> TokenOutput:
        return await self.server_manager.generate(
            request_id=uuid4().hex,
            prompt_ids=prompt_ids,
            sampling_params=sampling_params,
            priority=int(kwargs.get("priority", 0)),
        )

    async def _prompt_ids(self, messages: list[dict[str, Any]]) -> list[int]:
        if self.processor is not None and any((await self.process_multi_modal_info(messages)).values()):
            raise SettingsError(
                "The agent loop 'backtrack' got a prompt with images, video or audio.",
                "Train on text prompts, or set rollout.agent.default_agent_loop=single_turn_agent.",
            )
        prompt_ids = await initial_ids(self, messages)
        if not prompt_ids:
            raise TraceError("A prompt has no tokens.", "Drop rows with an empty prompt.")
        return prompt_ids

    def _limited(self, sampling_params: dict[str, Any], settings: Settings) -> dict[str, Any]:
        limited = {**sampling_params, "max_tokens": self._max_tokens}
        if settings.needs_own_engine:
            request = EditRequest(self._vocab, settings.max_backtracks, settings.boundary, settings.context)
            limited["extra_args"] = {**(sampling_params.get("extra_args") or {}), **request.to_extra_args()}
        return limited

    def _checked(self, sampled: TokenOutput) -> tuple[list[int], list[float] | None]:
        ids, log_probs = list(sampled.token_ids), sampled.log_probs
        if not ids:
            raise TraceError(
                f"The engine returned no token (stop reason {sampled.stop_reason!r}).",
                "Look for the cause in the rollout server's log.",
            )
        if log_probs is not None and len(log_probs) != len(ids):
            raise TraceError(
                f"The engine returned {len(ids)} tokens with {len(log_probs)} log-probs.",
                "Report this with your vLLM version; no log-prob is ever made up.",
            )
        return ids, None if log_probs is None else list(log_probs)


def _statistics(resolution: Resolution) -> dict[str, int]:
    """What later readers of the row want to know without resolving it again."""
    return {
        "num_backtracks": int(resolution.num_effective[0]),
        "num_edits": int(resolution.num_edits[0]),
        "num_events": int(resolution.num_events[0]),
        "num_erased": sum(resolution.erased[0].tolist()),
        "resolved_length": int(resolution.resolved_length[0]),
    }


@lru_cache(maxsize=8)
def _run_constants(config: ById, tokenizer: ById) -> tuple[Settings, EditVocab, Marks, EngineLimits]:
    settings = from_config(config.value)
    check(config.value, settings)
    vocab = edit_vocab(tokenizer.value, step_delimiter=settings.tokens.step_delimiter)
    limits = limits_of(config, tokenizer)
    steps = settings.samples_continuations
    marks = step_marks(tokenizer.value, settings, vocab, limits.ends) if steps else Marks()
    return settings, vocab, marks, limits
