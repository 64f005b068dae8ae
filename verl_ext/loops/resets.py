"""The agent loop ``resets`` for verl: a group of suffixes from a state of a failed answer.

It is RRPO and SRPO (arXiv 2605.25507) as rollouts: see :mod:`halluc_plugin.rl.resets`. The first answer of a
group is sampled as ever. If it is right, so are the others. If it failed, the others begin with the part of
it that is kept, and only their suffixes learn; the failed answer is in the group, and does not learn.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from functools import lru_cache
from typing import Any
from uuid import uuid4

from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput, register
from verl.utils.profiler import simple_timer
from verl.workers.rollout.replica import TokenOutput

from halluc_plugin.data.rows import ground_truth
from halluc_plugin.edits import find_delimiters
from halluc_plugin.errors import DataError, SettingsError, TraceError
from halluc_plugin.rewards import Marks
from halluc_plugin.rl.resets import reset_point
from halluc_plugin.settings import ResetAt
from halluc_plugin.tasks import find_verifier
from halluc_plugin.verifiers import Outcome, PrefixVerifier, prefix_oracle
from verl_ext.columns import RESET, STATISTICS
from verl_ext.compat import initial_ids
from verl_ext.engine_limits import ById, EngineLimits, limits_of
from verl_ext.loops.seeds import seeded
from verl_ext.run_settings import from_config, has_reward_function

MOST_FIRSTS = 4096
"""Number of first answers that a worker remembers: the answers to one prompt are sampled in one worker."""


class FirstAnswers:
    """The first answers of groups, each sampled once for all that wait for it."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[Any, asyncio.Task[TokenOutput]] = OrderedDict()

    async def get(self, key: Any, sample: Coroutine[Any, Any, TokenOutput]) -> TokenOutput:
        """Return the first answer of a group, sampled by whoever asks first.

        Args:
            key: Name of the group.
            sample: The coroutine that samples it; it is closed unused where another has begun.
        """
        if key in self._tasks:
            sample.close()
        else:
            self._tasks[key] = asyncio.ensure_future(sample)
            while len(self._tasks) > MOST_FIRSTS:
                self._tasks.popitem(last=False)
        return await asyncio.shield(self._tasks[key])


_FIRSTS = FirstAnswers()


@register("resets")
class ResetAgentLoop(AgentLoopBase):
    """Samples one answer of a group; ``halluc.resets.at`` says where a failed first answer is reset to.

    Only text is supported, for models without edit tokens and data whose source has a verifier of halluc's.
    Validation with one answer a prompt (``val_kwargs.n=1``) is by whole answers.

    Raises:
        SettingsError: The ``halluc:`` block is wrong, or a scoring function of the user's judges answers,
            which only the reward manager can ask.
        EditVocabError: No token ends a step.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._at, self._marks, self._limits = _run_constants(ById(self.config), ById(self.tokenizer))

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """Sample one answer of a group.

        Args:
            sampling_params: The sampling parameters of verl.
            **kwargs: The data row; ``raw_prompt`` holds the messages, ``uid`` names the group, ``session_id``
                is the answer's number in it.

        Returns:
            The answer; what is kept of a failed one is masked.

        Raises:
            DataError: Nothing judges the row's data source.
            TraceError: The engine returned nothing, or log-probs that do not fit the ids.
        """
        prompt = await initial_ids(self, list(kwargs["raw_prompt"]))
        timing: dict[str, float] = {}
        number = int(kwargs["session_id"])
        with simple_timer("generate_sequences", timing):
            own = {**kwargs, "session_id": 0}
            params = seeded(
                {**sampling_params, "max_tokens": self._room(0)}, self.rollout_config, own, prompt
            )
            first = await _FIRSTS.get(
                (kwargs["uid"], kwargs.get("global_steps")), self._sampled(prompt, params, kwargs)
            )
            point = self._point(list(first.token_ids), first.log_probs, kwargs)
            kept = [] if point is None or number == 0 else list(first.token_ids[:point])
            last, last_params = first, params
            if number:
                last_params = seeded(
                    {**sampling_params, "max_tokens": self._room(len(kept))},
                    self.rollout_config,
                    kwargs,
                    prompt,
                )
                last = await self._sampled([*prompt, *kept], last_params, kwargs)
        ids, begun = list(last.token_ids), len(kept)
        cut_off = self._limits.cut_off(ids, len(prompt) + begun, last_params, last.stop_reason)
        scored = None
        if last.log_probs is not None:
            scored = [*(first.log_probs or [])[:begun], *last.log_probs]
        learns = int(bool(number) or point is None)
        return AgentLoopOutput(
            prompt_ids=prompt,
            response_ids=[*kept, *ids],
            response_mask=[0] * begun + [learns] * len(ids),
            response_logprobs=scored,
            num_turns=2,
            metrics=AgentLoopMetrics(**timing),
            extra_fields={
                **last.extra_fields,
                RESET: -1 if point is None else point,
                STATISTICS: {"truncated": int(cut_off)},
            },
        )

    def _room(self, kept: int) -> int:
        return self._limits.response_length - kept

    def _point(self, ids: list[int], log_probs: list[float] | None, row: dict[str, Any]) -> int | None:
        """How many tokens of a first answer are kept, None if it is right."""
        verifier = find_verifier(row["data_source"])
        if verifier is None:
            raise DataError(
                f"Nothing of halluc judges {row['data_source']!r}, so no answer of it is known to fail.",
                "Use data of one of halluc's tasks, or another agent loop.",
            )
        truth = ground_truth(row)

        def text(some: Any) -> str:
            return str(self.tokenizer.decode(list(some), skip_special_tokens=True))

        if verifier.verify(truth, text(ids)) is Outcome.CORRECT:
            return None
        ok = None
        if self._at is ResetAt.FIRST_ERROR and isinstance(verifier, PrefixVerifier):
            ok = prefix_oracle(verifier, truth, text, self._marks.ends)
        point = reset_point(ids, log_probs, self._marks, self._at, ok=ok)
        return min(point, self._limits.response_length - 1)  # room for one token behind it

    async def _sampled(self, ids: list[int], params: dict[str, Any], row: dict[str, Any]) -> TokenOutput:
        sampled: TokenOutput = await self.server_manager.generate(
            request_id=uuid4().hex, prompt_ids=ids, sampling_params=params,
            priority=int(row.get("priority", 0)),
        )  # fmt: skip
        if not sampled.token_ids:
            raise TraceError(
                f"The engine returned no token (stop reason {sampled.stop_reason!r}).",
                "Look for the cause in the rollout server's log.",
            )
        if sampled.log_probs is not None and len(sampled.log_probs) != len(sampled.token_ids):
            raise TraceError(
                f"The engine returned {len(sampled.token_ids)} tokens with {len(sampled.log_probs)} "
                "log-probs.",
                "Report this with your vLLM version; no log-prob is ever made up.",
            )
        return sampled


@lru_cache(maxsize=8)
def _run_constants(config: ById, tokenizer: ById) -> tuple[ResetAt, Marks, EngineLimits]:
    """What is the same for all answers of a run; verl builds a loop for every trajectory."""
    if has_reward_function(config.value):
        raise SettingsError(
            "The agent loop resets judges answers while it samples, by the verifiers of halluc alone.",
            "Leave reward.custom_reward_function out, or use another agent loop.",
        )
    settings, limits = from_config(config.value), limits_of(config, tokenizer)
    delimiters = find_delimiters(tokenizer.value, settings.tokens.step_delimiter)
    return settings.resets.at, Marks(delimiters, limits.ends), limits
