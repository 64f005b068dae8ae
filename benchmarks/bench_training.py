"""Training on short rows with plain products against torch's fused attention, in one run, on a CPU.

Forward and backward of a 0.9M model in bfloat16, padding included; CPU time, interleaved, in one process.
``pytest benchmarks/bench_training.py -s`` prints the median of paired ratios with the smallest and the
largest, for rows on both sides of the limit.
"""

import statistics
import time

import pytest
import torch

from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.training import attention

TOKENS, REPETITIONS = 2816, 9


def _seconds(step):
    start = time.process_time()
    step()
    return time.process_time() - start


@pytest.mark.parametrize(("width", "at_least"), [(22, 1.3), (44, 1.3), (128, 1.0), (256, None)])
def test_fused_over_plain(width, at_least, monkeypatch):
    """How many times as long a step takes with the fused kernel; the limit is lifted to see beyond it."""
    monkeypatch.setattr(attention, "LONGEST", 10_000)
    torch.set_num_threads(1)
    model = new_model(number_tokenizer(), Size.TINY, seed=0)
    rows = TOKENS // width
    ids = torch.randint(300, 600, (rows, width), generator=torch.Generator().manual_seed(0))
    valid = torch.arange(width) < torch.linspace(width // 2, width, rows).long()[:, None]

    def step(*, plain):
        with (
            attention.unfused_attention(model, width, bf16=plain),
            torch.autocast("cpu", torch.bfloat16),
        ):
            logits = model(input_ids=ids, attention_mask=valid.long(), use_cache=False).logits
        torch.nn.functional.cross_entropy(logits[valid].float(), ids[valid]).backward()

    step(plain=True), step(plain=False)
    ratios = []
    for repetition in range(REPETITIONS):
        order = (True, False) if repetition % 2 else (False, True)
        seconds = {plain: _seconds(lambda plain=plain: step(plain=plain)) for plain in order}
        ratios.append(seconds[False] / seconds[True])
    middle = statistics.median(ratios)
    print(f"\n{rows} rows of {width}: fused over plain {middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    assert at_least is None or middle >= at_least
