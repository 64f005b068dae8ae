"""Compute the next-token logits of contexts of different lengths."""

from collections.abc import Sequence
from typing import Any

import torch


@torch.no_grad()
def logits_behind(model: Any, contexts: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return the next-token logits after contexts of different lengths.

    Args:
        model: A transformers causal language model in eval mode.
        contexts: Token ids of N contexts, none of them empty.

    Returns:
        The logits, Float[N, V], on the model's device.
    """
    found: dict[int, torch.Tensor] = {}
    for length in sorted(set(map(len, contexts))):
        # No padding, and the model's own head: a scale or cap of its logits is part of what it says.
        same = [number for number, row in enumerate(contexts) if len(row) == length]
        ids = torch.tensor([list(contexts[number]) for number in same], device=model.device)
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1].float()
        found.update(zip(same, logits, strict=True))
    return torch.stack([found[number] for number in range(len(contexts))])
