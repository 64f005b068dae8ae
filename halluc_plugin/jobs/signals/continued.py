"""Read signals that compare several continuations of a text: EigenScore and semantic entropy.

In soft context: what a continuation takes back is taken back before it is judged.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.edits import collapse
from halluc_plugin.errors import MetricError
from halluc_plugin.jobs.assess.steps import Cutter
from halluc_plugin.jobs.signals.places import SignalPlace
from halluc_plugin.probes.eigen_score import clip_features, eigen_score
from halluc_plugin.probes.token_signals import token_signals
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.verifiers import final_vote


def semantic_entropy(meanings: Sequence[Hashable]) -> float:
    """Return the entropy of what answers come to, in nats.

    It is the discrete form, over shares of answers with one meaning (S. Farquhar et al., Nature 630 (2024)
    625; from memory). Answers that come to nothing have one meaning together.

    Args:
        meanings: The meaning of each of K answers, such as its vote; None if it comes to nothing.

    Raises:
        MetricError: There are fewer than two answers.
    """
    if len(meanings) < 2:
        raise MetricError(
            f"Semantic entropy compares answers, and there are {len(meanings)}.",
            "Give 2 or more (--continuations).",
        )
    shares = (count / len(meanings) for count in Counter(meanings).values())
    return max(0.0, -math.fsum(share * math.log(share) for share in shares))


@dataclass(frozen=True)
class Continued:
    """The two signals of one place.

    Attributes:
        eigen_score: EigenScore of the continuations' last tokens.
        semantic_entropy: Entropy of what they come to, in nats.
    """

    eigen_score: float
    semantic_entropy: float


def continued(
    model: Any,
    places: Sequence[SignalPlace],
    problems: Sequence[PosedProblem],
    cutter: Cutter,
    *,
    answers: int,
    layer: int,
    seed: int,
) -> Iterator[Continued]:
    """Yield the signals of each place.

    The states that say which features are usual are those of all continuations.

    Args:
        model: A transformers causal language model in eval mode.
        places: The places.
        problems: All problems, by their numbers.
        cutter: Names the ids that end answers and the settings of sampling.
        answers: Number of continuations of each place.
        layer: Number of the layer whose states are compared.
        seed: Seed of the continuations.
    """
    space = cutter.space
    generator = torch.Generator(next(model.parameters()).device).manual_seed(seed)
    states, entropies = [], []
    for place in places:
        problem = problems[place.problem]
        told = place.text[-1] in space.eos_ids
        room = 0 if told else space.max_tokens - len(place.text)
        raw: list[list[int]] = [[]] * answers
        if room > 0:
            how = Decoding(space.vocab, room, temperature=space.temperature, eos_ids=space.eos_ids)
            prefix = [*problem.prompt, *place.text]
            raw = [trace.ids for trace in decode(model, [prefix] * answers, how, generator=generator)]
        texts = [(*place.text, *ids) for ids in raw]
        last = [((*problem.prompt, *text[:-1]), text[-1:]) for text in texts]
        read = token_signals(model, last, space.vocab, layer=layer)
        states.append(torch.cat([signals.hidden for signals in read]))
        left = [cutter.text(collapse(text, space.vocab)) for text in texts]
        entropies.append(
            semantic_entropy([final_vote(problem.verifier, problem.truth, text) for text in left])
        )
    bank = torch.cat(states) if states else torch.zeros(0, 1)
    for rows, entropy in zip(states, entropies, strict=True):
        yield Continued(eigen_score(clip_features(rows, bank)), entropy)
