"""Sample from a vLLM engine for :mod:`halluc_plugin.sampling`.

vLLM can bias ids only in a whole sample. So a request that bans ids at the beginning is sent twice: for its
first token, with the ban, and for the rest, without it; the prefix is then in the prefix cache. Any engine
can do that, and the log-probs are those of the sampling distribution.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from io import StringIO
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]
from vllm import SamplingParams, TokensPrompt

from halluc_plugin.decoding.policy import NOTHING
from halluc_plugin.decoding.triggers import Trigger
from halluc_plugin.edits import Context
from halluc_plugin.errors import TraceError
from halluc_plugin.progress import count_tokens
from halluc_plugin.sampling.hf import erased_sample, sample_of
from halluc_plugin.sampling.states import Request, Sample, Space
from halluc_plugin.vllm_engine.request import EditRequest


class VLLMSampler:
    """Samples from a ``vllm.LLM``; with its prefix cache on, a state is computed once.

    The engine's seed decides what is sampled, and after :meth:`reseed` that one. Requests have no seeds of
    their own: equal requests would get copies, and vLLM's CPU build (0.28) fails on a seeded request whose
    prompt it computes in several parts.

    Args:
        llm: The engine, with ``logprobs_mode="processed_logprobs"`` and vLLM's own scheduler or the rewinding
            one.
        space: The space in which searches take place.
        trigger: The settings by which a signal of the logits takes text back; the engine must rewind
            (:data:`halluc_plugin.vllm_engine.launch.ENGINE_ARGS`). None for none.
    """

    def __init__(self, llm: Any, space: Space, trigger: Trigger | None = None) -> None:
        self._llm, self._space = llm, space
        self._erasing: dict[str, Any] | None = None
        if trigger is not None:
            asked = EditRequest(space.vocab, context=Context.HARD, tabu=space.tabu, trigger=trigger)
            self._erasing = asked.to_extra_args()

    def reseed(self, seed: int) -> None:
        """Restart the samples from another seed, and forget computed prefixes.

        What is cached decides which requests are computed together, and so which random numbers each gets.
        The engine must have been started with :data:`~halluc_plugin.vllm_engine.launch.RESEEDING`.
        """
        self._llm.collective_rpc("halluc_reseed", args=(seed,))
        self._llm.reset_prefix_cache()

    def sample(self, requests: Sequence[Request]) -> list[Sample]:
        """Return one sample for each request, in order.

        Raises:
            TraceError: A request bans all ids with which its sample could begin, or has bans at a temperature
                so high that vLLM cannot apply them.
        """
        if self._erasing is not None:
            return self._erased(requests, self._erasing)
        banned = self._space.vocab.edit_ids if self._space.edits_banned else frozenset[int]()
        begins = [replace(request, max_tokens=1) if request.banned_first else request for request in requests]
        drawn = self._draw(begins, [banned | request.banned_first for request in requests])
        open_ones = [i for i, request in enumerate(requests) if _goes_on(request, drawn[i][0])]
        rest = [_behind(requests[i], drawn[i][0]) for i in open_ones]
        for i, (ids, logprobs) in zip(open_ones, self._draw(rest, [banned] * len(rest)), strict=True):
            drawn[i] = (drawn[i][0] + ids, drawn[i][1] + logprobs)
        return [
            sample_of(ids, logprobs, request, self._space)
            for (ids, logprobs), request in zip(drawn, requests, strict=True)
        ]

    def _erased(self, requests: Sequence[Request], erasing: dict[str, Any]) -> list[Sample]:
        """Samples of which a signal took some back."""
        prompts = [TokensPrompt(prompt_token_ids=list(request.prefix)) for request in requests]
        params = [_params(request, NOTHING) for request in requests]
        for each in params:
            each.extra_args = dict(erasing)
            each.stop_token_ids = [
                i for i in each.stop_token_ids or () if i not in self._space.vocab.edit_ids
            ]
        samples = []
        outputs = self._llm.generate(prompts, params, use_tqdm=False)
        for output, request in zip(outputs, requests, strict=True):
            (answer,) = output.outputs
            ids = list(answer.token_ids)
            at_each = () if answer.logprobs is None else zip(answer.logprobs, ids, strict=True)
            logprobs = [at[token].logprob for at, token in at_each]
            samples.append(erased_sample(ids, logprobs, request, self._space))
        return samples

    def _draw(
        self, requests: Sequence[Request], banned: Sequence[frozenset[int]]
    ) -> list[tuple[list[int], list[float]]]:
        """Ids and log-probs of one sample for each request, in which some ids are banned everywhere."""
        if not requests:
            return []
        prompts = [TokensPrompt(prompt_token_ids=list(request.prefix)) for request in requests]
        params = [_params(request, ids) for request, ids in zip(requests, banned, strict=True)]
        drawn = []
        for output, without in zip(
            self._llm.generate(prompts, params, use_tqdm=_Ticking), banned, strict=True
        ):
            (answer,) = output.outputs
            ids = list(answer.token_ids)
            count_tokens(len(ids))
            if not without.isdisjoint(ids):
                raise TraceError(
                    "vLLM sampled a token that is banned: every other one is banned too, or the temperature "
                    "is so high that a bias of -100 bans nothing.",
                    "Ban less, sample without tabu, or lower the temperature.",
                )
            at_each = () if answer.logprobs is None else zip(answer.logprobs, ids, strict=True)
            drawn.append((ids, [at[token].logprob for at, token in at_each]))
        return drawn


class _Ticking(tqdm):
    """Is vLLM's bar, writes nothing, and lets the bar of the command look at the time after each answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, file=StringIO())

    def update(self, n: float | None = 1) -> bool | None:
        """Note that answers are finished."""
        count_tokens(0)
        return super().update(n)


def _goes_on(request: Request, ids: Sequence[int]) -> bool:
    """Whether a sample of which the first token was drawn by itself is not complete."""
    return bool(request.banned_first) and request.max_tokens > 1 and ids[0] not in request.stop_ids


def _behind(request: Request, ids: Sequence[int]) -> Request:
    """What is asked for behind the first token."""
    return replace(
        request,
        prefix=(*request.prefix, *ids),
        max_tokens=request.max_tokens - len(ids),
        banned_first=NOTHING,
    )


def _params(request: Request, banned: Collection[int]) -> SamplingParams:
    return SamplingParams(
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        stop_token_ids=sorted(request.stop_ids),
        # vLLM's lowest bias: float32 cannot tell e^-100 from a probability of 0.
        logit_bias=dict.fromkeys(sorted(banned), -100.0) or None,
        ignore_eos=True,  # the search's own ids end a sample
        logprobs=0 if request.logprobs else None,
        detokenize=False,
    )
