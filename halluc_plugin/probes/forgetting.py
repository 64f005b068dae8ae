"""Measure how far a model has drifted from the one that it was trained from, on given texts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from halluc_plugin.metrics.means import Mean

Text = tuple[Sequence[int], Sequence[int]]
"""Ids that are read, at least one, and the ids behind them."""
PLACES = 256
"""Number of places whose distributions are held at once."""


@dataclass(frozen=True)
class Drift:
    """How far a model is from its base.

    Attributes:
        divergence: KL(base ‖ model) of the next token in nats, a mean over tokens, with edits banned in both.
        edits: Probability of an edit in the model, a mean over the same places; what a ban takes away there.
    """

    divergence: Mean
    edits: Mean


@torch.no_grad()
def drift(base: Any, model: Any, texts: Iterable[Text], known: Sequence[int], edits: Sequence[int]) -> Drift:
    """Return how far a model is from its base, at every token of texts.

    Args:
        base: The model that training started from, a causal language model in eval mode.
        model: The trained model, in eval mode.
        texts: The texts, without edits; each is one cluster of the intervals.
        known: Ids that both models have and that do not edit; both distributions are renormalised on them.
        edits: The model's edit ids, of which there may be none.
    """
    sums, masses, counts = list[float](), list[float](), list[int]()
    kept, edit = torch.tensor(list(known)), torch.tensor(list(edits), dtype=torch.long)
    for read, written in texts:
        if not written:
            continue
        said = [_logits(each, read, written) for each in (base, model)]
        total = mass = 0.0
        for place in range(0, len(written), PLACES):
            ours, theirs = (
                logits[place : place + PLACES].index_select(1, kept.to(logits.device)).float().cpu()
                for logits in said
            )
            p, q = ours.log_softmax(1), theirs.log_softmax(1)
            total += float((p.exp() * (p - q)).sum(1).clamp(min=0).double().sum())
            if len(edit):
                others = said[1][place : place + PLACES].index_select(1, edit.to(said[1].device))
                both = torch.cat([theirs, others.float().cpu()], 1).softmax(1)
                mass += float(both[:, len(kept) :].sum())
        sums.append(total)
        masses.append(mass)
        counts.append(len(written))
    return Drift(Mean.clustered(sums, counts), Mean.clustered(masses, counts))


def _logits(model: Any, read: Sequence[int], written: Sequence[int]) -> torch.Tensor:
    """The logits from which each written id would be drawn, Float[T, V]."""
    ids = torch.tensor([[*read, *written[:-1]]], device=model.device)
    logits: torch.Tensor = model(input_ids=ids, use_cache=False, logits_to_keep=len(written)).logits[0]
    return logits
