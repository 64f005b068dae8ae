"""Hard decoding against re-prompting after each edit, at equal outputs, in one run.

The baseline is what a decoder without a rewindable cache does: after every edit it starts again from the
collapsed prompt, one row at a time. Run: ``pytest benchmarks/bench_decoding.py -s``.
"""

import math
import statistics
import time

import pytest
import torch
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM

from halluc_plugin.decoding import Context, Decoding, decode, hf
from halluc_plugin.edits import EditState, EditVocab

VOCAB = EditVocab(backtrack=1023)
ACTIONS, PROMPT, REPETITIONS = 256, 64, 7
SAMPLE = hf._sample  # noqa: SLF001 - replaced below, at its own cost


def _scripts(rows, edit_share=0.1):
    """One trace a row with about ``edit_share`` edits, each erasing something."""
    generator = torch.Generator().manual_seed(0)
    scripts = []
    for _ in range(rows):
        state, ids = EditState(VOCAB), []
        while len(ids) < ACTIONS:
            edit = state.depth > 0 and torch.rand((), generator=generator) < edit_share
            token = VOCAB.backtrack if edit else int(torch.randint(0, 1000, (), generator=generator))
            state.push(token)
            ids.append(token)
        scripts.append(ids)
    return scripts


def _forced(monkeypatch, scripts):
    """Make ``decode`` take the scripted actions instead of sampled ones, at the cost of the real sampler."""
    step = iter(range(ACTIONS))

    def scripted(logits, bans, temperature, generator):
        _, logprobs = SAMPLE(logits, bans, temperature, generator)
        t = next(step)
        return torch.tensor([script[t] for script in scripts]), logprobs

    monkeypatch.setattr(hf, "_sample", scripted)


@torch.no_grad()
def _reprompt(model, prompts, scripts):
    """Row by row; a fresh prefill of the collapsed prompt after every edit, plain cached decoding between."""
    for prompt, script in zip(prompts, scripts, strict=True):
        state, cache, last = EditState(VOCAB), None, None
        for token in script:
            if cache is None:
                context, cache = prompt + state.live_ids, DynamicCache(config=model.config)
                logits = model(torch.tensor([context]), past_key_values=cache, use_cache=True).logits[:, -1]
            else:
                logits = model(torch.tensor([[last]]), past_key_values=cache, use_cache=True).logits[:, -1]
            torch.multinomial(torch.log_softmax(logits.float(), -1).exp(), 1)
            if state.push(token):
                cache = None
            last = token


def _interval(values):
    """Geometric mean and 95 % interval (Student's t with 6 degrees of freedom) of ratios."""
    logs = [math.log(value) for value in values]
    mean, half = statistics.fmean(logs), 2.447 * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def _cpu_seconds(action):
    start = time.process_time()
    action()
    return time.process_time() - start


@pytest.mark.parametrize(("rows", "at_least"), [(32, 10.0), (1, None)])
def test_hard_decoding_against_reprompting(rows, at_least, monkeypatch):
    """Batched hard decoding beats re-prompting from scratch by at least ten times at batch 32."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=1024, hidden_size=256, intermediate_size=512, num_hidden_layers=6, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).eval()
    scripts = _scripts(rows)
    prompts = torch.randint(0, 1000, (rows, PROMPT)).tolist()
    decoding = Decoding(VOCAB, ACTIONS, Context.HARD)

    def hard():
        _forced(monkeypatch, scripts)
        assert [trace.ids for trace in decode(model, prompts, decoding)] == scripts

    ratios = [
        _cpu_seconds(lambda: _reprompt(model, prompts, scripts)) / _cpu_seconds(hard)
        for _ in range(REPETITIONS)
    ]
    mean, low, high = _interval(ratios)
    print(f"\nbatch {rows}: re-prompting / hard decoding, CPU time: {mean:.1f} [{low:.1f}, {high:.1f}]")
    if at_least:
        assert low >= at_least
