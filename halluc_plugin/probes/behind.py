"""The logits behind each of some contexts, in one forward pass."""

from collections.abc import Sequence
from typing import Any

import torch


@torch.no_grad()
def logits_behind(model: Any, contexts: Sequence[Sequence[int]]) -> torch.Tensor:
    """What a model says behind contexts of different lengths.

    Args:
        model: A transformers causal language model in eval mode.
        contexts: N lists of ids, none empty.

    Returns:
        Float[N, V], on the model's device.
    """
    width = max(map(len, contexts))
    # Right padding: no query before it sees it.
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in contexts], device=model.device)
    hidden = model.base_model(input_ids=ids).last_hidden_state
    ends = torch.tensor([len(row) - 1 for row in contexts], device=hidden.device)
    last = hidden[torch.arange(len(contexts), device=hidden.device), ends]
    logits: torch.Tensor = model.get_output_embeddings()(last).float()
    return logits
