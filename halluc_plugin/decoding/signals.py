"""Read from next-token logits how certain a model is of the next token of text.

Edits and ids that are not tokens are left out, and the temperature is 1, whatever is sampled: a signal that
was calibrated on one way of sampling means the same in another.
"""

from collections.abc import Collection

import torch

from halluc_plugin.decoding.triggers import TextSignal

LOWEST = -1e4
"""Log-probability of what is left out: its probability is 0 in any float."""


def text_signal(logits: torch.Tensor, signal: TextSignal, left_out: Collection[int] = ()) -> torch.Tensor:
    """Return a signal of each distribution of the next token of text.

    Args:
        logits: The logits, Float[..., V].
        signal: The signal.
        left_out: Ids that are not text: edits, and ids without a token.

    Returns:
        The signal, Float32[...], on the device of the logits.
    """
    scores = logits.to(torch.float32, copy=True)
    ids = [token for token in left_out if token < scores.shape[-1]]
    if ids:
        scores[..., ids] = -torch.inf
    scores = scores.log_softmax(-1)
    if signal is TextSignal.ENTROPY:
        return (-(scores.exp() * scores.clamp(min=LOWEST)).sum(-1)).clamp(min=0.0)
    first, second = scores.topk(2, -1).values.exp().unbind(-1)
    return second - first
