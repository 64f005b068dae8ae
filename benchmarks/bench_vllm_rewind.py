"""Hard decoding inside vLLM against plain decoding, and against stop-and-resubmit, in one run.

A random model of 91M parameters, of whose actions 7 to 8 % are backtracks. Three ways to spend the same
number of raw actions, in one process, in turn, on prompts that lie in the prefix cache:

- plain: vLLM as it is; backtracks stay in the context.
- rewind: our scheduler takes them back.
- resubmit: what clients do without it: stop at a backtrack, collapse, send the request again at once.

Raw actions per CPU-second are compared by the paired ratio of each repetition. Run, for batch sizes apart:
``pytest benchmarks/bench_vllm_rewind.py -s [-k 32]``.
"""

import gc
import math
import os
import statistics
import time
from collections import Counter

import pytest
import torch

os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_LOGGING_LEVEL": "ERROR",
}

from transformers import Qwen2Config, Qwen2ForCausalLM
from vllm import LLM, SamplingParams

from halluc_plugin.edits import Context, EditState, EditVocab
from halluc_plugin.vllm_engine.launch import ENGINE_ARGS
from halluc_plugin.vllm_engine.request import EditRequest

VOCAB = EditVocab(backtrack=8191)
HARD = EditRequest(VOCAB, context=Context.HARD).to_extra_args()
PROMPT, REPETITIONS = 100, 9
T_975 = 2.306  # Student's t, 8 degrees of freedom
ACTIONS = {1: 128, 8: 48, 32: 24}


def _model(path):
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=8192, hidden_size=768, intermediate_size=2048, num_hidden_layers=12,
        num_attention_heads=12, num_key_value_heads=12, max_position_embeddings=512, tie_word_embeddings=True,
        eos_token_id=None, bos_token_id=None,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(path)
    return sum(p.numel() for p in model.parameters())


class Engine:
    """A vLLM engine that counts the forward slots it spends after prefill."""

    def __init__(self, path, **kind):
        self.llm = LLM(
            model=str(path), skip_tokenizer_init=True, dtype="float32", enforce_eager=True, max_model_len=384,
            max_num_seqs=32, block_size=16, num_gpu_blocks_override=1200, max_num_batched_tokens=4096, seed=0,
            **kind,
        )  # fmt: skip
        self.slots = 0
        scheduler = self.llm.llm_engine.engine_core.engine_core.scheduler
        schedule = scheduler.schedule

        def counting(*args, **kwargs):
            plan = schedule(*args, **kwargs)
            again = plan.scheduled_cached_reqs.req_ids
            self.slots += sum(plan.num_scheduled_tokens[name] for name in again)
            return plan

        scheduler.schedule = counting


def _params(actions, **options):
    # The bias makes a uniform choice among 8192 tokens a backtrack about every twelfth time.
    return SamplingParams(max_tokens=actions, detokenize=False, logit_bias={VOCAB.backtrack: 6.5}, **options)


def _decode(engine, prompts, params):
    """Raw actions and how many of them are backtracks."""
    outputs = engine.llm.generate([{"prompt_token_ids": p} for p in prompts], params, use_tqdm=False)
    ids = [token for output in outputs for token in output.outputs[0].token_ids]
    return len(ids), ids.count(VOCAB.backtrack)


def _resubmit(engine, prompts, actions):
    """The same, with every answer collapsed here and sent again after each backtrack."""
    core = engine.llm.llm_engine
    states, spent, sent = [EditState(VOCAB) for _ in prompts], [0] * len(prompts), Counter()
    edits = 0

    def send(row):
        sent[row] += 1
        ids = prompts[row] + states[row].live_ids
        params = _params(actions - spent[row], stop_token_ids=[VOCAB.backtrack])
        core.add_request(f"{row}/{sent[row]}", {"prompt_token_ids": ids}, params)

    for row in range(len(prompts)):
        send(row)
    while core.has_unfinished_requests():
        for output in core.step():
            if output.finished:
                row = int(output.request_id.partition("/")[0])
                ids = output.outputs[0].token_ids
                states[row].extend(ids)
                spent[row] += len(ids)
                edits += ids[-1] == VOCAB.backtrack
                if spent[row] < actions:
                    send(row)
    return sum(spent), edits


def _interval(values):
    """Geometric mean and 95 % interval of ratios."""
    logs = [math.log(value) for value in values]
    mean, half = statistics.fmean(logs), T_975 * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """The stock engine and the rewinding one, with the same weights."""
    path = tmp_path_factory.mktemp("model")
    assert _model(path) > 80e6
    torch.set_num_threads(1)
    return Engine(path), Engine(path, **ENGINE_ARGS)


@pytest.mark.parametrize("batch", ACTIONS)
def test_rewinding_costs_as_much_as_plain_decoding(engines, batch):
    """One slot per action; at least 0.95 of plain speed; above 1.05 of resubmission in batches."""
    stock, rewinding = engines
    actions = ACTIONS[batch]
    prompts = [[1 + row, *range(100, 99 + PROMPT)] for row in range(batch)]
    ways = {
        "plain": lambda: _decode(stock, prompts, _params(actions)),
        "rewind": lambda: _decode(rewinding, prompts, _params(actions, extra_args=HARD)),
        "resubmit": lambda: _resubmit(stock, prompts, actions),
    }
    speed, edits, walls = {way: [] for way in ways}, Counter(), Counter()
    for repetition in range(REPETITIONS + 1):
        order = list(ways)[repetition % 3 :] + list(ways)[: repetition % 3]
        for way in order:
            rewinding.slots = 0
            gc.collect()
            wall, start = time.perf_counter(), time.process_time()
            count, edited = ways[way]()
            seconds, wall = time.process_time() - start, time.perf_counter() - wall
            assert count == batch * actions
            if way == "rewind":
                assert rewinding.slots == batch * (actions - 1), "exactly one slot for every action"
            if repetition:  # the first fills the prefix cache
                speed[way].append(count / seconds)
                edits[way] += edited / count / REPETITIONS
                walls[way] += count / wall / REPETITIONS
    print(f"\nbatch {batch}, {actions} raw actions a request, {REPETITIONS} repetitions")
    for way in ways:
        print(
            f"  {way:9} {statistics.median(speed[way]):7.1f} raw actions per CPU-second, "
            f"{walls[way]:7.1f} per second, {edits[way]:.1%} edits"
        )
    ratios = {}
    for baseline in ("plain", "resubmit"):
        pairs = zip(speed["rewind"], speed[baseline], strict=True)
        ratios[baseline] = _interval([ours / theirs for ours, theirs in pairs])
        mean, low, high = ratios[baseline]
        print(f"  rewind / {baseline:9} {mean:.3f} [{low:.3f}, {high:.3f}]")
    assert ratios["plain"][1] >= 0.95
    if batch > 1:
        assert ratios["resubmit"][1] > 1.05
