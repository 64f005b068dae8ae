"""Tokens a second of commands that sample, next to what the model's products alone allow in the same run.

Run: ``python benchmarks/bench_sampling.py MODEL`` for transformers at batch 32, ``... MODEL vllm`` for vLLM,
on a pretrained model's folder (``halluc model smollm2``, then ``halluc add-token``).

The ceiling is the number of rows of a batch over the time of the products of all weights with that batch, in
the number type of the engine: no attention, no norms, no sampling. It is measured before and after, and the
mean counts, since a shared machine changes meanwhile. The bar is the share of the ceiling.
"""

import statistics
import sys
import time

import torch

from halluc_plugin.edits import find_delimiters
from halluc_plugin.jobs.samplers import Backend, answer_ends, open_sampler
from halluc_plugin.processor import multiplies_bfloat16
from halluc_plugin.sampling.states import Response, Space, wanted
from halluc_plugin.tokens import edit_vocab
from halluc_plugin.tokens.loading import load_model, load_tokenizer

ROWS, TOKENS, ROUNDS = 32, 48, 3
ASKED = "Write a long story about a cat that learns to count."


def ceiling(folder, dtype):
    """Tokens a second of the products alone, the median of three passes."""
    weights = [each for each in load_model(folder, dtype=dtype).parameters() if each.ndim == 2]
    inputs = {each.shape[1]: torch.randn(ROWS, each.shape[1], dtype=dtype) for each in weights}
    seconds = []
    with torch.no_grad():
        for _ in range(ROUNDS + 1):
            started = time.perf_counter()
            for each in weights:
                torch.nn.functional.linear(inputs[each.shape[1]], each)
            seconds.append(time.perf_counter() - started)
    return ROWS / statistics.median(seconds[1:])


def main(folder, engine="hf"):
    """Print one line for each round."""
    backend, tokenizer = Backend(engine), load_tokenizer(folder)
    fast = backend is Backend.VLLM and multiplies_bfloat16()
    dtype = torch.bfloat16 if fast else torch.float32
    vocab = edit_vocab(tokenizer)
    ends = find_delimiters(tokenizer, "\n", edit_ids=vocab.edit_ids)
    space = Space(vocab, answer_ends(folder, tokenizer), ends, TOKENS, 1.0, edits_banned=True)
    turns = [{"role": "user", "content": ASKED}]
    prompt = tuple(tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False))
    sampler = open_sampler(folder, backend, space, 0)
    requests = [wanted(prompt, Response(), space)] * ROWS
    sampler.sample(requests[:2])  # what is made once
    for _ in range(ROUNDS):
        before = ceiling(folder, dtype)
        started = time.perf_counter()
        count = sum(len(sample.ids) for sample in sampler.sample(requests))
        rate = count / (time.perf_counter() - started)
        allowed = (before + ceiling(folder, dtype)) / 2
        print(
            f"{engine}, {dtype}, {ROWS} rows: {rate:.0f} tokens/s, ceiling {allowed:.0f}, "
            f"{rate / allowed:.0%} of it ({torch.get_num_threads()} threads)",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
