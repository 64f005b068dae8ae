"""Choose the actions from which is learned, a random share of them (S-GRPO, arXiv 2504.20834)."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import torch
from torch import Tensor


def sampled_actions(
    keys: Sequence[str], lengths: Sequence[int], *, share: float, first: int, step: int
) -> Tensor:
    """Return which actions count: the first ones of each trace, and each later one by chance.

    Args:
        keys: The names of B traces; name and step decide the draw.
        lengths: The number of actions of each.
        share: Probability that an action behind the first ones counts.
        first: Number of actions at a trace's beginning that always count.
        step: Number of the training step.

    Returns:
        Bool[B, T], T the greatest length, False at padding.
    """
    chosen = torch.zeros(len(keys), max(lengths, default=0), dtype=torch.bool)
    for row, (key, length) in enumerate(zip(keys, lengths, strict=True)):
        drawn = np.random.default_rng([step, crc32(key.encode())]).random(length) < share
        drawn[:first] = True
        chosen[row, :length] = torch.from_numpy(drawn)
    return chosen
