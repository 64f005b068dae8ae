"""Hard context through vLLM's asynchronous front ends."""

import asyncio
import json
import math
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from halluc_plugin.edits import Context, collapse
from halluc_plugin.vllm_engine.equivalence import VOCAB, replay
from halluc_plugin.vllm_engine.launch import ENGINE_ARGS, PROCESSOR, SCHEDULER
from halluc_plugin.vllm_engine.request import EditRequest

pytest.importorskip("vllm")
pytestmark = [pytest.mark.e2e]

TABU = EditRequest(VOCAB, context=Context.HARD, tabu=True)
SAMPLED = EditRequest(VOCAB, context=Context.HARD, budget=4)
BIAS = {40: 1.2, 41: 0.6}
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # spares a process: the worker lives in the engine core's
    "OMP_NUM_THREADS": "1",
}
SIZE = {"max_model_len": 256, "max_num_seqs": 8, "block_size": 16, "num_gpu_blocks_override": 200}


@pytest.fixture(scope="module")
def server(model, model_path, tmp_path_factory):
    """``vllm serve`` that starts while other tests run: its process, address and log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SIZE.items()]
    command = [
        sys.executable, str(Path(__file__).with_name("server_on_cpu.py")), "serve", str(model_path),
        "--served-model-name=tiny", f"--port={port}", "--skip-tokenizer-init", "--dtype=float32",
        "--enforce-eager", f"--scheduler-cls={SCHEDULER}", f"--logits-processors={PROCESSOR}",
        "--no-async-scheduling", *options,
    ]  # fmt: skip
    with log.open("w") as output:
        process = subprocess.Popen(command, env={**os.environ, **ENVIRONMENT}, stdout=output, stderr=output)
    yield process, f"http://127.0.0.1:{port}", log
    process.terminate()
    process.wait(timeout=60)


def wait_until_up(server):
    """Return its address when it answers."""
    process, url, log = server
    while process.poll() is None:
        try:
            urllib.request.urlopen(url + "/health", timeout=5)
        except OSError:
            time.sleep(0.5)
        else:
            return url
    raise AssertionError(log.read_text()[-3000:])


def post(url, **body):
    """Body of the answer to a completion request."""
    base = {"model": "tiny", "temperature": 0, "return_token_ids": True, "detokenize": False}
    data = json.dumps(base | body).encode()
    request = urllib.request.Request(
        url + "/v1/completions", data=data, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        return response.read().decode()


def test_async_llm_streams_the_raw_trace(server, model, model_path, monkeypatch):
    """Erased tokens and edits arrive as they are sampled, each with its exact log-prob."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    from vllm import AsyncEngineArgs, SamplingParams
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.async_llm import AsyncLLM

    async def stream(engine, index):
        params = SamplingParams(
            max_tokens=48, logprobs=0, detokenize=False, seed=index, output_kind=RequestOutputKind.DELTA,
            logit_bias=BIAS, ignore_eos=True, extra_args=SAMPLED.to_extra_args(),
        )  # fmt: skip
        prompt = {"prompt_token_ids": [index, 5, 9]}
        return [part.outputs[0] async for part in engine.generate(prompt, params, f"stream-{index}")]

    async def run():
        engine = AsyncLLM.from_engine_args(
            AsyncEngineArgs(
                model=str(model_path), skip_tokenizer_init=True, dtype="float32", enforce_eager=True,
                logprobs_mode="processed_logprobs", **SIZE, **ENGINE_ARGS,
            )
        )  # fmt: skip
        try:
            return await asyncio.gather(*(stream(engine, index) for index in range(1, 7)))
        finally:
            engine.shutdown()

    edits = 0
    for index, parts in enumerate(asyncio.run(run()), start=1):
        assert len(parts) > 2, "the answer came in one piece"  # a busy machine joins some
        ids = [token for part in parts for token in part.token_ids]
        have = [
            entry[token].logprob
            for part in parts
            for token, entry in zip(part.token_ids, part.logprobs, strict=True)
        ]
        want = replay(model, [index, 5, 9], ids, SAMPLED, logit_bias=BIAS, stop_ids=())
        torch.testing.assert_close(
            torch.tensor(have), want.gather(1, torch.tensor(ids)[:, None])[:, 0], atol=1e-4, rtol=0
        )
        edits += len(ids) - len(collapse(ids, VOCAB))
    assert edits > 12


def test_server_rewinds_streams_and_refuses(server, model):
    """``vllm serve`` with vllm_xargs: exact greedy traces from concurrent clients, and in parts; else 400."""
    url = wait_until_up(server)
    xargs, bias = TABU.to_extra_args(), {str(token): value for token, value in BIAS.items()}
    prompts = [[index, 7, 11] for index in range(1, 9)]

    def complete(prompt):
        body = json.loads(post(url, prompt=prompt, max_tokens=40, logit_bias=bias, vllm_xargs=xargs))
        return body["choices"][0]["token_ids"]

    with ThreadPoolExecutor(len(prompts)) as clients:
        traces = list(clients.map(complete, prompts))
    for prompt, ids in zip(prompts, traces, strict=True):
        assert replay(model, prompt, ids, TABU, logit_bias=BIAS).argmax(1).tolist() == ids
    assert sum(token in VOCAB.edit_ids for ids in traces for token in ids) > 10

    parts = post(
        url, prompt=prompts[0], max_tokens=40, logit_bias=bias, vllm_xargs=xargs, stream=True
    ).splitlines()
    events = [json.loads(part.removeprefix("data: ")) for part in parts if part.startswith("data: {")]
    streamed = [token for event in events for choice in event["choices"] for token in choice["token_ids"]]
    assert streamed == traces[0]

    off = EditRequest(VOCAB).to_extra_args()
    body = json.loads(post(url, prompt=prompts[0], max_tokens=40, logit_bias=bias, vllm_xargs=off))
    ids = body["choices"][0]["token_ids"]
    assert replay(model, prompts[0], ids, None, logit_bias=BIAS).argmax(1).tolist() == ids

    with pytest.raises(urllib.error.HTTPError, match="400") as refused:
        post(url, prompt=prompts[0], max_tokens=4, vllm_xargs=xargs | {"halluc_tabu": 0})
    assert "Set halluc_tabu, halluc_budget" in refused.value.read().decode()


def test_bad_requests_get_a_400_and_nobody_else_notices(server):
    """Values of every kind under our keys, sent among good requests: a message each, the same answers."""
    url = wait_until_up(server)
    xargs, bias = TABU.to_extra_args(), {str(token): value for token, value in BIAS.items()}

    def complete(index):
        body = json.loads(post(url, prompt=[index, 3, 8], max_tokens=40, logit_bias=bias, vllm_xargs=xargs))
        return body["choices"][0]["token_ids"]

    def refused(key, value):
        with pytest.raises(urllib.error.HTTPError) as error:
            post(url, prompt=[1], max_tokens=4, vllm_xargs=xargs | {key: value})
        return error.value.code, error.value.read().decode()

    alone = [complete(index) for index in range(1, 5)]
    # Not true, of which vLLM makes 1.
    values = [100_000, 48, -1, 2**31, 2**63, 10**30, 3.0, math.nan, math.inf, "5", None, [1], [[1]], {}]
    bad = [("halluc_backtrack", value) for value in values]
    bad += [("halluc_budget", value) for value in values[2:]]
    bad += [("halluc_restart", 48), ("halluc_step_delimiters", [48]), ("HALLUC_BUDGET", 1)]
    bad += [("halluc_\ud800", 1)]
    with ThreadPoolExecutor(8) as clients:
        answers = [clients.submit(refused, *pair) for pair in bad[:20]]
        beside = list(clients.map(complete, range(1, 5)))
        answers += [clients.submit(refused, *pair) for pair in bad[20:]]
        said = {pair[0] + repr(pair[1]): answer.result() for pair, answer in zip(bad, answers, strict=True)}
    assert {name: text for name, (code, text) in said.items() if code != 400} == {}
    assert "halluc_backtrack names id 100000" in said["halluc_backtrack100000"][1]
    assert beside == alone
    assert [complete(index) for index in range(1, 5)] == alone
