"""Probe whether a model learned the errors that it was shown.

NL = E[log p(error | prompt, prefix) - log p_ref(error | prompt, prefix)] for each token of held-out errors.
Above zero, training on traces has made errors likelier than in a model that never saw one.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from halluc_plugin.errors import MetricError


@torch.no_grad()
def span_log_probs(
    model: Any, spans: Sequence[tuple[Sequence[int], Sequence[int]]], *, batch_size: int = 128
) -> list[float]:
    """Return the log-probability of spans, each given its context.

    Args:
        model: A causal language model in eval mode.
        spans: Pairs of a context (token ids of prompt and response so far) and the ids that follow it,
            neither empty.
        batch_size: Number of spans in a forward pass.

    Returns:
        For each span, the sum of its tokens' log-probabilities in nats.
    """
    found: list[float] = []
    for start in range(0, len(spans), batch_size):
        batch = spans[start : start + batch_size]
        rows = [[*context, *span] for context, span in batch]
        width = max(map(len, rows))
        # Right padding: no query before it sees it.
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=model.device)
        logits = model(input_ids=ids).logits[:, :-1].float()
        scores = logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
        for row, (context, span) in zip(scores, batch, strict=True):
            found.append(float(row[len(context) - 1 : len(context) + len(span) - 1].sum()))
    return found


def negative_learning(
    model: Any, reference: Any, errors: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> tuple[float, float, float]:
    """Return how much likelier errors are than under a reference model.

    Args:
        model: The trained model, in eval mode.
        reference: The model before training, or, for training from scratch, its twin on clean data.
        errors: Pairs of a context and a held-out error.

    Returns:
        The mean shift in nats per error token, with its 95 % limits (normal, with errors as clusters).

    Raises:
        MetricError: There are fewer than two errors.
    """
    if len(errors) < 2:
        raise MetricError(f"{len(errors)} errors give no interval.", "Pass two at least.")
    sides = (span_log_probs(network, errors) for network in (model, reference))
    shifts = [a - b for a, b in zip(*sides, strict=True)]
    sizes = [len(span) for _, span in errors]
    mean = sum(shifts) / sum(sizes)
    # A ratio estimator: tokens of one error are not independent of one another.
    spread = sum((shift - mean * size) ** 2 for shift, size in zip(shifts, sizes, strict=True))
    error = math.sqrt(spread * len(sizes) / (len(sizes) - 1)) / sum(sizes)
    return mean, mean - 1.96 * error, mean + 1.96 * error
