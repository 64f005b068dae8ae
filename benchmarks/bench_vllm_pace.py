"""How hard decoding keeps pace with plain decoding in vLLM, with an interval that is narrow enough to decide.

A random model of 70M parameters (grouped heads, float32), of whose actions 7 to 8 % are backtracks. One
rewinding engine decodes the same batch plainly and in hard context, in turn: plain, hard, hard, plain and so
on, so that whatever else the machine does slows both alike. (Of two engines in one process the second was up
to 14 % faster, whichever it was: where weights lie in memory decides more than what is asked here.) Timed are
steps of pure decoding; what a request costs to be sent, and its prefill, are left out. Each pair of batches
gives a ratio of raw actions per CPU-second; there are as many as the 95 % interval of their mean needs to
reach no further than 3 % to either side, at least twelve. What our scheduler costs a plain request is
measured on its own.

Run: ``OMP_NUM_THREADS=1 pytest benchmarks/bench_vllm_pace.py -s --benchmark-json=pace.json``. It ends within
ten minutes of CPU time: a batch size that is still undecided after its share fails with what was measured.
The goal: at batch 32 the lower bound is at least 0.97.
"""

import gc
import math
import os
import statistics
import time

import pytest
import torch

os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}

from scipy.stats import t as student
from transformers import Qwen2Config, Qwen2ForCausalLM
from vllm import LLM, SamplingParams
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.request import Request

from halluc_plugin.edits import Context, EditState, EditVocab
from halluc_plugin.vllm_engine.launch import ENGINE_ARGS
from halluc_plugin.vllm_engine.request import EditRequest
from halluc_plugin.vllm_engine.scheduler import RewindScheduler, _Trace

VOCAB = EditVocab(backtrack=8191)
HARD = EditRequest(VOCAB, context=Context.HARD).to_extra_args()
ACTIONS = {1: 48, 8: 32, 32: 24, 128: 12}
"""Raw actions of a request, by batch size."""
SHARED, OWN, FEWEST, REACH = 96, 4, 12, 0.03
SECONDS = 130
"""Most CPU-seconds for a batch size. Four of them, and the start of the engine, are within ten minutes."""


def _save_model(path):
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=8192, hidden_size=768, intermediate_size=2048, num_hidden_layers=12,
        num_attention_heads=12, num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
        eos_token_id=None, bos_token_id=None,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(path)


class Engine:
    """The rewinding engine, of which each step is timed."""

    def __init__(self, path):
        self.sent = 0
        self.core = LLM(
            model=str(path), skip_tokenizer_init=True, dtype="float32", enforce_eager=True, max_model_len=256,
            max_num_seqs=max(ACTIONS), block_size=16, num_gpu_blocks_override=2000,
            max_num_batched_tokens=4096, seed=0, **ENGINE_ARGS,
        ).llm_engine  # fmt: skip

    def decode(self, batch, actions, extra_args):
        """CPU-seconds and seconds of a batch, from where all requests decode, and how many edits it had."""
        # The bias makes a uniform choice among 8192 tokens a backtrack about every thirteenth time.
        params = SamplingParams(
            max_tokens=actions, detokenize=False, logit_bias={VOCAB.backtrack: 6.0}, extra_args=extra_args
        )
        for row in range(batch):
            self.sent += 1
            prompt = [*range(SHARED), *range(100 + row, 100 + row + OWN)]
            self.core.add_request(str(self.sent), {"prompt_token_ids": prompt}, params)
        self.core.step()
        wall, cpu, ended = time.perf_counter(), time.process_time(), []
        for _ in range(actions - 1):
            assert not ended, "exactly one step for every action"
            ended = [output.outputs[0].token_ids for output in self.core.step() if output.finished]
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        assert len(ended) == batch
        return cpu, wall, sum(list(ids).count(VOCAB.backtrack) for ids in ended)


def _interval(logs):
    """Geometric mean and 95 % interval of ratios."""
    mean = statistics.fmean(logs)
    half = student.ppf(0.975, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The rewinding engine, with random weights."""
    path = tmp_path_factory.mktemp("model")
    _save_model(path)
    torch.set_num_threads(1)
    engine = Engine(path)
    gc.collect()
    gc.freeze()  # collections in between walk what is new alone
    return engine


def _measure(engine, batch):
    """Pairs of batches until the interval is narrow enough, or the time is up."""
    low, high, pairs, start = 0.0, math.inf, [], time.process_time()
    for size in (1, batch):  # what prompts share is in the prefix cache
        engine.decode(size, 2, None)
    while high - low > 2 * REACH and time.process_time() - start < SECONDS:
        spent = {}
        for args in (None, HARD) if len(pairs) % 2 else (HARD, None):
            spent[args is HARD] = engine.decode(batch, ACTIONS[batch], args)
        pairs.append((spent[False], spent[True]))
        if len(pairs) >= FEWEST:
            mean, low, high = _interval([math.log(plain[0] / hard[0]) for plain, hard in pairs])
    assert len(pairs) >= FEWEST, "the machine is too slow for a single interval"
    steps, actions = ACTIONS[batch] - 1, batch * ACTIONS[batch] * len(pairs)
    return {
        "ratio": mean, "low": low, "high": high, "pairs": len(pairs),
        "wall_ratio": math.exp(statistics.fmean(math.log(plain[1] / hard[1]) for plain, hard in pairs)),
        "plain_ms": 1000 * statistics.median(plain[0] for plain, _ in pairs) / steps,
        "hard_minus_plain_ms": 1000 * statistics.median(hard[0] - plain[0] for plain, hard in pairs) / steps,
        "actions_per_cpu_second": batch * steps * len(pairs) / sum(hard[0] for _, hard in pairs),
        "edits": [sum(pair[context][2] for pair in pairs) / actions for context in (0, 1)],
        "seconds": time.process_time() - start,
    }  # fmt: skip


@pytest.mark.parametrize("batch", ACTIONS)
def test_hard_decoding_keeps_pace(engine, batch, benchmark):
    """The interval reaches 3 % to either side at most; its lower end at batch 32 is at least 0.97."""
    found = benchmark.pedantic(_measure, args=(engine, batch), rounds=1)
    benchmark.extra_info |= {"batch": batch} | found
    print(
        f"\nbatch {batch:3}: hard / plain {found['ratio']:.3f} [{found['low']:.3f}, {found['high']:.3f}] "
        f"of CPU time, {found['wall_ratio']:.3f} of wall; {found['pairs']} pairs in "
        f"{found['seconds']:.0f} CPU-seconds; a plain step {found['plain_ms']:.1f} ms, a hard one "
        f"{found['hard_minus_plain_ms']:+.2f} ms; {found['actions_per_cpu_second']:.0f} hard actions per "
        f"CPU-second; edits {found['edits'][0]:.1%} plain, {found['edits'][1]:.1%} hard"
    )
    assert found["high"] - found["low"] <= 2 * REACH, "the machine is too busy to decide"
    if batch == 32:
        assert found["low"] >= 0.97


def _microseconds(kind, traces):
    """What it costs a scheduler to take in one token of text of one request, without an engine around it."""
    scheduler = object.__new__(kind)
    scheduler.max_model_len, scheduler._traces, scheduler._refused = 10**9, traces, set()
    request = Request("request", [1], SamplingParams(max_tokens=10**9), None)
    start = time.process_time()
    for _ in range(20_000):
        scheduler._update_request_with_output(request, [5])
    return (time.process_time() - start) / 20_000 * 1e6


def test_the_part_of_the_scheduler(benchmark):
    """In turn: vLLM's scheduler, ours for a request of its own, ours in hard context at most twice vLLM's."""
    kinds = {
        "vLLM's": (Scheduler, dict),
        "ours, plain": (RewindScheduler, dict),
        "ours, hard": (
            RewindScheduler,
            lambda: {"request": _Trace(EditState(VOCAB), VOCAB.edit_ids, 10**9)},
        ),
    }
    spent = {name: [] for name in kinds}

    def measure():
        for _ in range(9):
            for name, (kind, traces) in kinds.items():
                spent[name].append(_microseconds(kind, traces()))

    benchmark.pedantic(measure, rounds=1)
    median = {name: statistics.median(values) for name, values in spent.items()}
    benchmark.extra_info |= median
    print("\nmicroseconds for a token of one request:", {n: round(m, 2) for n, m in median.items()})
    assert median["ours, hard"] < 2 * median["vLLM's"]
