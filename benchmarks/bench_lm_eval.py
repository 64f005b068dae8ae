"""Throughput of ``hf-backtrack`` and ``vllm-backtrack`` against lm-eval's own models, in pairs.

Same checkpoint, same prompts, same tokens. ``pytest benchmarks/bench_lm_eval.py -s`` prints the ratio of
tokens per second (above 1: faster than the stock model) with a 95 % interval over pairs; the bar is a lower
end of 0.9. Start vLLM's in a process of its own (``-k vllm_backtrack_against_vllm``): it binds its process
to cores.
"""

import statistics
import time

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from lm_eval_tasks.hf_backtrack import HFBacktrack

PAIRS, REQUESTS, TOKENS, BATCH = 16, 64, 96, 32


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    """A random model of the demo's size over bytes, which cannot end an answer early."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>", pad_token="<|pad|>")
    tokenizer.add_tokens([AddedToken("<|BACKTRACK|>", special=False, normalized=False)])
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=512, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=1024, tie_word_embeddings=False,
        eos_token_id=None, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        # No end, no edit, and no part of a character, of which vLLM may keep the last from the text.
        unwanted = [at for at, character in enumerate(alphabet) if not character.isascii()]
        model.lm_head.weight[unwanted + list(range(len(alphabet), len(tokenizer)))] = 0
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def _seconds(model):
    options = {"until": [], "max_gen_toks": TOKENS, "do_sample": False}
    prompts = ["x" * (40 + at % 40) for at in range(REQUESTS)]
    requests = [Instance("generate_until", {}, (prompt, dict(options)), 0) for prompt in prompts]
    start = time.perf_counter()
    answers = model.generate_until(requests, disable_tqdm=True)
    return time.perf_counter() - start, answers


def _compare(name, stock, ours):
    """Assert that ours keeps nine tenths of the stock model's throughput, and print how much."""
    assert [answer.trace.raw for answer in _seconds(ours)[1]] == _seconds(stock)[1]  # and both are warm
    ratios = []
    for pair in range(PAIRS):
        order = (stock, ours) if pair % 2 else (ours, stock)
        seconds = {model: _seconds(model)[0] for model in order}
        ratios.append(seconds[stock] / seconds[ours])
    mean, error = statistics.mean(ratios), statistics.stdev(ratios) / PAIRS**0.5
    low, high = mean - 2.13 * error, mean + 2.13 * error  # Student's t with 15 degrees of freedom
    print(f"\n{name}, tokens per second: {mean:.3f} [{low:.3f}, {high:.3f}], {PAIRS} pairs")
    assert low >= 0.9


def test_hf_backtrack_against_hf(model_path):
    """At equal tokens hf-backtrack keeps at least nine tenths of hf's throughput."""
    torch.set_num_threads(1)
    options = {"batch_size": BATCH, "device": "cpu", "dtype": "float32"}
    _compare("hf-backtrack / hf", HFLM(model_path, **options), HFBacktrack(model_path, **options))


@pytest.mark.parametrize("context", ["soft", "hard"])
def test_vllm_backtrack_against_vllm(model_path, monkeypatch, context):
    """At equal tokens vllm-backtrack keeps at least nine tenths of vllm's throughput, in either context."""
    for name, value in {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}.items():
        monkeypatch.setenv(name, value)
    from lm_eval_tasks.vllm_backtrack import VLLM, VLLMBacktrack

    options = {"dtype": "float32", "enforce_eager": True, "max_model_len": 256, "seed": 0}
    # A budget, so that greedy decoding may be hard; it is never spent, as nothing else would be equal.
    ours = VLLMBacktrack(model_path, context=context, max_backtracks=TOKENS, **options)
    _compare(f"{context} vllm-backtrack / vllm", VLLM(model_path, **options), ours)
