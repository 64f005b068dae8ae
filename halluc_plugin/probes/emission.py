"""Probe whether a model takes something back at given places, and rather where it should."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from halluc_plugin.edits import EditVocab
from halluc_plugin.metrics import Discrimination, Proportion, StepEnd, discrimination
from halluc_plugin.probes.next_logits import logits_behind


@dataclass(frozen=True)
class Emission:
    """The model's probabilities of an edit at N places.

    Attributes:
        likeliest: For each place, whether an edit is the likeliest token, which greedy decoding would take.
        probability: For each place, the probability of an edit.
    """

    likeliest: tuple[bool, ...]
    probability: tuple[float, ...]

    @property
    def rate(self) -> Proportion:
        """The share of places where an edit is the likeliest token."""
        return Proportion.of(sum(self.likeliest), len(self.likeliest))

    @property
    def mean_probability(self) -> float:
        """Mean probability of an edit over all places; nan if there are none."""
        return sum(self.probability) / len(self.probability) if self.probability else float("nan")


def edit_emission(
    model: Any, contexts: Sequence[Sequence[int]], vocab: EditVocab, *, batch_size: int = 256
) -> Emission:
    """Return the probability of an edit after each context.

    Args:
        model: A causal language model in eval mode.
        contexts: Token ids of prompt and response so far, none of them empty.
        vocab: The edit vocabulary of the ids.
        batch_size: Number of contexts in a forward pass.
    """
    rows = model.config.get_text_config().vocab_size
    # An id that is not a token, or has no row, is never written.
    written = vocab.edit_ids.intersection(range(rows)).difference(vocab.unknown_ids(rows))
    edits = torch.tensor(sorted(written), dtype=torch.long)
    likeliest: list[bool] = []
    probability: list[float] = []
    for start in range(0, len(contexts), batch_size):
        logits = logits_behind(model, contexts[start : start + batch_size]).cpu()
        likeliest += torch.isin(logits.argmax(-1), edits).tolist()
        probability += logits.softmax(-1)[:, edits].sum(-1).tolist()
    return Emission(tuple(likeliest), tuple(probability))


@dataclass(frozen=True)
class Place:
    """A place where a step has just been finished.

    Attributes:
        context: Token ids of prompt and response so far, as the model sees them, not empty.
        dead: Whether the goal is out of reach of the live text.
    """

    context: Sequence[int]
    dead: bool


def edit_discrimination(
    model: Any, places: Sequence[Sequence[Place]], vocab: EditVocab, *, batch_size: int = 256
) -> Discrimination:
    """Return P(edit | dead), P(edit | live), D and AUC, from the exact probability at each place.

    Args:
        model: A causal language model in eval mode.
        places: The places of each problem, whose answers are a cluster.
        vocab: The edit vocabulary of the ids.
        batch_size: Number of contexts in a forward pass.
    """
    contexts = [place.context for of_problem in places for place in of_problem]
    masses = iter(edit_emission(model, contexts, vocab, batch_size=batch_size).probability)
    # A sum of probabilities may exceed 1 by rounding.
    return discrimination(
        [[StepEnd(place.dead, min(next(masses), 1.0)) for place in of_problem] for of_problem in places]
    )
