"""Value steps by a language model: by its verdict after each step, or by the likelihood of the step.

The verdict is that of :mod:`.verdicts`, asked for at the end of every step instead of the response. This is a
generative process reward model that does not reason (L. Zhang et al., "Generative Verifiers", arXiv
2408.15240).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from halluc_plugin.edits import EditVocab
from halluc_plugin.hard import without_unknown
from halluc_plugin.scorers.prefixes import Batch, Prefixes, batches
from halluc_plugin.scorers.verdicts import RIGHT, WRONG, verdict_id

TOKENS = 1 << 12
"""Number of ids, padding included, in a forward pass whose logits are over the vocabulary."""


class StepVerdicts:
    """Reads values from a language model: P(right) / (P(right) + P(wrong)) of the id after a prefix.

    Args:
        model: A causal language model that was fine-tuned to say verdicts, in eval mode.
        tokenizer: The tokenizer of the ids.

    Raises:
        TokenizerError: The tokenizer does not write a verdict as one token.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._wrong, self._right = (verdict_id(tokenizer, text) for text in (WRONG, RIGHT))

    @torch.no_grad()
    def values(self, rows: Sequence[Prefixes]) -> list[list[float]]:
        """Return the value of each prefix, as :meth:`halluc_plugin.scorers.prefixes.Reader.values`."""
        found: dict[int, list[float]] = {}
        for numbers, batch in batches(rows, self._model, TOKENS):
            logits = logits_at_ends(self._model, batch)
            read = (logits[..., self._right] - logits[..., self._wrong]).sigmoid().tolist()
            for number, values in zip(numbers, read, strict=True):
                found[number] = values[: len(rows[number].ends)]
        return [found[number] for number in range(len(rows))]


class StepLikelihoods:
    """Reads values from a language model: the geometric mean of the probabilities of a step's ids.

    That is exp of the step's mean log-probability. The bare prompt, which has no step, has the value 1.

    Args:
        model: A causal language model in eval mode.
        vocab: The vocabulary that says which ids exist; None for all rows of the model.
    """

    def __init__(self, model: Any, vocab: EditVocab | None = None) -> None:
        self._model, self._vocab = model, vocab

    @torch.no_grad()
    def values(self, rows: Sequence[Prefixes]) -> list[list[float]]:
        """Return the value of each prefix, as :meth:`halluc_plugin.scorers.prefixes.Reader.values`."""
        found: dict[int, list[float]] = {}
        for numbers, batch in batches(rows, self._model, TOKENS):
            output = self._model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False)
            logits = output.logits[:, :-1].float()
            if self._vocab is not None:
                logits = without_unknown(logits, self._vocab)
            scores = logits.log_softmax(-1)
            of_ids = scores.gather(-1, batch.ids[:, 1:, None]).squeeze(-1)
            for row, number in enumerate(numbers):
                means = [
                    of_ids[row, start - 1 : end - 1].mean() for start, end in pairwise(rows[number].ends)
                ]
                found[number] = [1.0, *(float(mean.exp()) for mean in means)]
        return [found[number] for number in range(len(rows))]


def logits_at_ends(model: Any, batch: Batch) -> torch.Tensor:
    """Return a language model's next-token logits after each prefix, Float[N, E, V].

    Logits are computed only for the columns in which some row's prefix ends.
    """
    columns, places = batch.last.unique(return_inverse=True)
    logits = model(
        input_ids=batch.ids, attention_mask=batch.mask, use_cache=False, logits_to_keep=columns
    ).logits.float()
    return logits.gather(1, places[..., None].expand(-1, -1, logits.shape[-1]))
