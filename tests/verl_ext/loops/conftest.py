"""A server that answers as it is told, and agent loops that ask it."""

import asyncio
from types import SimpleNamespace

import hydra.utils
import pytest
from verl.experimental.agent_loop.agent_loop import (
    DictConfigWrap,
    ToolListWrap,
    _agent_loop_registry,
)
from verl.workers.rollout.replica import TokenOutput

PROMPT = [{"role": "user", "content": "3 5\n"}]


class CannedServer:
    """Answers every request with one output and remembers what it was asked."""

    def __init__(self, output: TokenOutput) -> None:
        self.output = output
        self.requests = []

    async def generate(self, **request):
        """The canned output."""
        self.requests.append(request)
        return self.output


def sampled(ids, log_probs="as many as ids", **fields):
    """An output of the rollout server."""
    if log_probs == "as many as ids":
        log_probs = [-0.5 - 0.01 * i for i in range(len(ids))]
    extra = {"global_steps": 3, "min_global_steps": 3, "max_global_steps": 3}
    return TokenOutput(
        token_ids=ids, log_probs=log_probs, stop_reason="completed", extra_fields=extra, **fields
    )


def build(config, tokenizer, output):
    """The loop, built the way verl's worker builds it for every trajectory."""
    server = CannedServer(output)
    loop = hydra.utils.instantiate(
        config=_agent_loop_registry["backtrack"],
        trainer_config=DictConfigWrap(config=config),
        server_manager=server,
        tokenizer=tokenizer,
        processor=None,
        hf_model_type="qwen2",
        dataset_cls=SimpleNamespace,
        data_config=DictConfigWrap(config.data),
        tools=ToolListWrap([]),
    )
    return loop, server


def run(config, tokenizer, output, sampling_params=None, *, step=1):
    """One rollout; returns it and the request the server saw."""
    result, requests = run_all(config, tokenizer, output, sampling_params, step=step)
    return result, requests[0]


def run_all(config, tokenizer, output, sampling_params=None, *, step=1, data_source="x", session=0):
    """One rollout; returns it and all requests that the server saw."""

    async def rollout():
        loop, server = build(config, tokenizer, output)
        params = {"temperature": 1.0, "logprobs": True} if sampling_params is None else sampling_params
        row = {"raw_prompt": PROMPT, "data_source": data_source, "uid": "u", "global_steps": step}
        return await loop.run(params, **row, session_id=session), server

    result, server = asyncio.run(rollout())
    return result, server.requests


@pytest.fixture
def ids(tokenizer):
    """Ids of the characters and of the edit token '<|BACKTRACK|>', written '!'."""
    table = tokenizer.get_vocab()
    return lambda text: [
        table["<|BACKTRACK|>" if c == "!" else "<|im_end|>" if c == "$" else c] for c in text
    ]
