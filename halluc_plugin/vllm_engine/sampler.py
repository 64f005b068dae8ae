"""Samples of a vLLM engine for :mod:`halluc_plugin.sampling`."""

from collections.abc import Sequence
from typing import Any

from vllm import SamplingParams, TokensPrompt

from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.hf import sample_of
from halluc_plugin.sampling.states import Request, Sample, Space


class VLLMSampler:
    """Samples from a ``vllm.LLM``; with its prefix cache on, a state is computed once.

    The engine's seed decides what is sampled. Requests carry none of their own: equal ones would be copies,
    and vLLM's CPU build (0.28) fails on a seeded request whose prompt it computes in several parts.

    Args:
        llm: The engine, with ``logprobs_mode="processed_logprobs"``, vLLM's own scheduler or ours.
        space: Where searches take place.
    """

    def __init__(self, llm: Any, space: Space) -> None:
        self._llm, self._space = llm, space

    def sample(self, requests: Sequence[Request]) -> list[Sample]:
        """One sample for each request.

        Raises:
            SettingsError: A request bans what its sample may begin with.
        """
        if any(request.banned_first for request in requests):
            raise SettingsError(
                "vLLM cannot ban what a sample begins with.", "Use --backend hf, or leave --tabu first out."
            )
        banned = sorted(self._space.vocab.edit_ids) if self._space.edits_banned else []
        params = [_params(request, banned) for request in requests]
        prompts = [TokensPrompt(prompt_token_ids=list(request.prefix)) for request in requests]
        outputs = self._llm.generate(prompts, params, use_tqdm=False)
        samples = []
        for request, output in zip(requests, outputs, strict=True):
            (answer,) = output.outputs
            ids = list(answer.token_ids)
            logprobs = [at[token].logprob for at, token in zip(answer.logprobs, ids, strict=True)]
            samples.append(sample_of(ids, logprobs, request, self._space))
        return samples


def _params(request: Request, banned: Sequence[int]) -> SamplingParams:
    return SamplingParams(
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        stop_token_ids=sorted(request.stop_ids),
        # vLLM's lowest bias: e^-100 is no probability that float32 can tell from none.
        logit_bias=dict.fromkeys(banned, -100.0) or None,
        ignore_eos=True,  # the search's own ids end a sample
        logprobs=0,
        detokenize=False,
    )
