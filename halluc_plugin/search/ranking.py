"""Sample answers independently and rank them by a scorer of steps: best-of-N and weighted majority."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from enum import StrEnum
from math import prod

from halluc_plugin.sampling.states import End, GuidedSearch, Response, Space, wanted
from halluc_plugin.search.guided import answer_first, draw, rate
from halluc_plugin.search.selection import Canonical


class Reduction(StrEnum):
    """How the values after steps become one score (arXiv 2305.20050, 2408.03314)."""

    LAST = "last"
    """The value after the last step, by which a process reward model is an outcome verifier."""
    MIN = "min"
    PRODUCT = "product"

    def of(self, values: Sequence[float]) -> float:
        """Return the score of a response.

        Args:
            values: The value of the bare prompt, which does not count, then one for each step.
        """
        match self:
            case Reduction.LAST:
                return values[-1]
            case Reduction.MIN:
                return min(values[1:])
        return prod(values[1:])


def ranked(
    prompt: tuple[int, ...],
    space: Space,
    n: int,
    reduction: Reduction,
    canonical: Canonical | None = None,
) -> GuidedSearch:
    """Return a search for N independent samples that puts the best first.

    Args:
        prompt: Token ids of the prompt.
        space: The space in which the search samples; a sample that does not end with EOS is dropped.
        n: Number of samples, N.
        reduction: How the values of an answer's steps become its score.
        canonical: Function that returns the final result of an answer, for weighted majority: the scores of
            all answers with the same result are added up, and the best of those with the largest sum is the
            answer. An answer without a result has no vote. None for best-of-N.

    Returns:
        The search; it finds its answer first.
    """
    samples = yield from draw([wanted(prompt, Response(), space)] * n)
    ended = [Response().extended(sample) for sample in samples if sample.end is End.EOS]
    rated = yield from rate(prompt, ended, space)
    if not rated:
        return []
    scores = [reduction.of(one.values) for one in rated]
    votes: dict[Hashable | None, float] = defaultdict(float)
    meant = [None if canonical is None else canonical(one.response) for one in rated]
    for answer, score in zip(meant, scores, strict=True):
        votes[answer] += 0.0 if answer is None else score
    best = max(range(len(rated)), key=lambda i: (meant[i] is not None, votes[meant[i]], scores[i]))
    return answer_first(rated[best], rated)
