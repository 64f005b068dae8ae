"""Step values that a language model says: a verdict behind each step, and how likely the step is.

The verdict is that of :mod:`.verdicts`, asked at every step's end instead of the response's: a generative
process reward model that does not reason (L. Zhang et al., "Generative Verifiers", arXiv 2408.15240).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from halluc_plugin.scorers.prefixes import Batch, Prefixes, batches
from halluc_plugin.scorers.verdicts import RIGHT, WRONG, verdict_id

TOKENS = 1 << 12
"""Ids in a forward pass whose logits are over the vocabulary, padding included."""


class StepVerdicts:
    """Reads values from a language model: P(right) / (P(right) + P(wrong)) of the id behind a prefix.

    Args:
        model: A causal language model that was fine-tuned to say verdicts, in eval mode.
        tokenizer: Of the ids.

    Raises:
        TokenizerError: A verdict is not one token.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._wrong, self._right = (verdict_id(tokenizer, text) for text in (WRONG, RIGHT))

    @torch.no_grad()
    def values(self, rows: Sequence[Prefixes]) -> list[list[float]]:
        """As :meth:`halluc_plugin.scorers.prefixes.Reader.values`."""
        found: dict[int, list[float]] = {}
        for numbers, batch in batches(rows, self._model, TOKENS):
            logits = logits_at_ends(self._model, batch)
            read = (logits[..., self._right] - logits[..., self._wrong]).sigmoid().tolist()
            for number, values in zip(numbers, read, strict=True):
                found[number] = values[: len(rows[number].ends)]
        return [found[number] for number in range(len(rows))]


class StepLikelihoods:
    """Reads values from a language model: the geometric mean of the probabilities of a step's ids.

    That is exp of the step's mean log-probability; of the bare prompt, which has no step, it is 1.

    Args:
        model: A causal language model in eval mode.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    @torch.no_grad()
    def values(self, rows: Sequence[Prefixes]) -> list[list[float]]:
        """As :meth:`halluc_plugin.scorers.prefixes.Reader.values`."""
        found: dict[int, list[float]] = {}
        for numbers, batch in batches(rows, self._model, TOKENS):
            output = self._model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False)
            scores = output.logits[:, :-1].float().log_softmax(-1)
            of_ids = scores.gather(-1, batch.ids[:, 1:, None]).squeeze(-1)
            for row, number in enumerate(numbers):
                means = [
                    of_ids[row, start - 1 : end - 1].mean() for start, end in pairwise(rows[number].ends)
                ]
                found[number] = [1.0, *(float(mean.exp()) for mean in means)]
        return [found[number] for number in range(len(rows))]


def logits_at_ends(model: Any, batch: Batch) -> torch.Tensor:
    """Float[N, E, V]: what a language model says behind each prefix, by its own head.

    Logits are made for the columns in which some row's prefix ends, no others.
    """
    columns, places = batch.last.unique(return_inverse=True)
    logits = model(
        input_ids=batch.ids, attention_mask=batch.mask, use_cache=False, logits_to_keep=columns
    ).logits.float()
    return logits.gather(1, places[..., None].expand(-1, -1, logits.shape[-1]))
