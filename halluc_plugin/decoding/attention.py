"""Attend with one new token over grouped heads, without copying the cache.

If a mask is given, transformers repeats keys and values for every query head before it calls torch. For a
single query, the heads of a group can take the place of queries instead, which gives the same numbers without
a copy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from halluc_plugin.hard import Attention, attention_of

NAME = "halluc_grouped_sdpa"


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as an attention function of transformers, without repeating keys and values.

    Several queries are passed on to transformers' own ``sdpa``. Arguments and result are those of
    transformers' attention functions.
    """
    rows, heads, queries, width = query.shape
    if queries > 1:
        output: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
        return output
    groups = key.shape[1]
    attended = torch.nn.functional.scaled_dot_product_attention(
        query.view(rows, groups, heads // groups, width), key, value, attn_mask=attention_mask, scale=scaling
    )
    return attended.reshape(rows, 1, heads, value.shape[-1]), None


AttentionInterface.register(NAME, grouped_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def grouped_heads(model: Any) -> Iterator[None]:
    """Make a model that uses transformers' ``sdpa`` attend this way inside the block.

    Afterwards the model is as before. Models with another implementation are not changed.
    """
    config = model.config
    before = config._attn_implementation  # noqa: SLF001 - transformers has no other name for it
    if attention_of(config) is not Attention.SDPA:
        yield
        return
    config._attn_implementation = NAME  # noqa: SLF001 - the setter of the model would check and copy
    try:
        yield
    finally:
        config._attn_implementation = before  # noqa: SLF001 - as above
