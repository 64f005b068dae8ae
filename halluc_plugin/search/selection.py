"""Select the answer among the responses found."""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from enum import StrEnum

from halluc_plugin.sampling.states import Response

Canonical = Callable[[Response], Hashable | None]
"""A function from a response to its final result, by which votes are counted; None abstains."""


class Rule(StrEnum):
    """The rule that selects the answer."""

    MEAN_LOGPROB = "mean-logprob"
    """The likeliest response, by mean log-probability of its tokens: the paper's rule."""
    MAJORITY = "majority"
    """The result of most responses; among equals the one with the likelier response."""
    SUMMED = "summed"
    """The result with most probability: Σ exp(mean log-probability) over the responses with that result. The
    released code sums the negative mean log-probabilities instead, and so penalises frequent results."""
    CONFIDENCE = "confidence"
    """The result with most confidence: Σ (1 - P(edit) where the response ended) over the responses with that
    result, the confidence-aware decoding of ReVISE (arXiv 2502.14565), written from memory of the paper. Any
    edit token counts here, in the paper its refine token."""
    VERIFIER = "verifier"
    """The best response by a scorer."""
    UNIVERSAL = "universal"
    """The response that the model itself would most likely write after it has read all of them: universal
    self-consistency (:mod:`halluc_plugin.scorers.consistency`), whose scorer is given."""


def select(
    responses: Sequence[Response],
    rule: Rule,
    canonical: Canonical,
    scorer: Callable[[Sequence[Response]], Sequence[float]] | None = None,
) -> Response | None:
    """Return the answer that a rule selects.

    Args:
        responses: Finished responses.
        rule: The rule that selects.
        canonical: Function that returns the final result of a response.
        scorer: Function that returns a score of each response, for :attr:`Rule.VERIFIER` and
            :attr:`Rule.UNIVERSAL`.

    Returns:
        One of the responses; None if there is none, or if all abstain from a vote.

    Raises:
        SettingsError: The rule is :attr:`Rule.CONFIDENCE`, and the engine does not report what it reads.
    """
    if not responses:
        return None
    if rule in {Rule.VERIFIER, Rule.UNIVERSAL}:
        assert scorer is not None  # the command line refuses the rules without one
        scores = dict(enumerate(scorer(responses)))
        return responses[max(scores, key=lambda i: scores[i])]
    if rule is Rule.MEAN_LOGPROB:
        return _likeliest(responses)
    groups: dict[Hashable, list[Response]] = defaultdict(list)
    for response in responses:
        answer = canonical(response)
        if answer is not None:
            groups[answer].append(response)
    if not groups:
        return None

    def weight(group: Sequence[Response]) -> float:
        if rule is Rule.CONFIDENCE:
            return sum(response.confidence for response in group)
        mass = (math.exp(response.mean_logprob) for response in group)
        return float(len(group)) if rule is Rule.MAJORITY else sum(mass)

    return _likeliest(max(groups.values(), key=lambda g: (weight(g), _likeliest(g).mean_logprob)))


def _likeliest(responses: Sequence[Response]) -> Response:
    return max(responses, key=lambda response: response.mean_logprob)
