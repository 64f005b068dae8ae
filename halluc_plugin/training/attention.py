"""Train on short rows on a CPU without torch's fused attention, whose backward pass is slow there.

A step of a 0.9M model in bfloat16 takes 1.8 times as long with it on rows of 44 tokens, 1.5 times on 128, and
as long on 256 (``benchmarks/bench_training.py``, on two cores that also ran other jobs).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from halluc_plugin.hard import Attention, attention_of

LONGEST = 128
"""Number of tokens of the longest row, prompt included, for which plain products are faster."""


@contextmanager
def unfused_attention(model: Any, longest_row: int, *, bf16: bool) -> Iterator[None]:
    """Make a model attend by plain products inside the block, where that is faster.

    Afterwards the model is as before.

    Args:
        model: A transformers model; one whose attention is not transformers' ``sdpa`` is not changed.
        longest_row: Number of tokens of the longest row.
        bf16: Whether forward passes compute in bfloat16.
    """
    config = model.config
    # A trainer moves a model to an accelerator, if there is one, only after it was handed over.
    on_cpu = next(model.parameters()).device.type == "cpu" and not torch.accelerator.is_available()
    before = config._attn_implementation  # noqa: SLF001 - transformers has no other name for it
    if attention_of(config) is not Attention.SDPA or not (bf16 and on_cpu and longest_row <= LONGEST):
        yield
        return
    config._attn_implementation = "eager"  # noqa: SLF001 - the setter of the model would check and copy
    try:
        yield
    finally:
        config._attn_implementation = before  # noqa: SLF001 - as above
