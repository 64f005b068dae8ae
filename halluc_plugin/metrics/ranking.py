"""Measure how well a number ranks places of one kind above those of another: AUROC and average precision."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics.discrimination import StepEnd, discrimination
from halluc_plugin.metrics.intervals import Proportion, wilson


@dataclass(frozen=True)
class Ranking:
    """How well a number ranks places.

    Attributes:
        auc: Probability that the number at a positive place is above that at a negative one, ties counted
            half.
        average_precision: Mean precision over the positive places, from the largest number down. By chance
            it is the share of positive places.
        positives: Number of positive places.
        n: Number of all places.
    """

    auc: Proportion
    average_precision: Proportion
    positives: int
    n: int


def ranking(clusters: Sequence[Sequence[tuple[bool, float]]]) -> Ranking:
    """Return AUROC and average precision with 95 % intervals.

    The interval of the AUROC is that of :func:`halluc_plugin.metrics.discrimination`. That of the average
    precision is Wilson's with as many observations as clusters have a positive place, which is conservative:
    K. Boyd, K. Eng and C. Page (ECML 2013; from memory) take a binomial interval over the positive places.

    Args:
        clusters: For each cluster, such as the answers to one problem, its places: whether each is positive,
            and its number.

    Returns:
        The ranking; its values are nan, with intervals from 0 to 1, if a kind of place is missing.

    Raises:
        MetricError: A number is nan.
    """
    pairs = [pair for places in clusters for pair in places]
    if any(math.isnan(value) for _, value in pairs):
        raise MetricError("A signal is nan at a place.", "Leave out places at which it is not known.")
    values = np.sort([value for _, value in pairs])
    ranks = [
        [
            StepEnd(positive, float(np.searchsorted(values, value)) / max(1, len(values)))
            for positive, value in places
        ]
        for places in clusters
    ]
    positives = sum(positive for positive, _ in pairs)
    known = 0 < positives < len(pairs)
    of_clusters = sum(any(positive for positive, _ in places) for places in clusters) if known else 0
    precision = _average_precision(pairs) if known else math.nan
    return Ranking(
        discrimination(ranks).auc,
        Proportion(precision, len(pairs), *wilson(precision if known else 0.0, of_clusters)),
        positives,
        len(pairs),
    )


def _average_precision(pairs: Sequence[tuple[bool, float]]) -> float:
    """Precision at each positive place, equal numbers taken together."""
    total = found = seen = 0.0
    ordered = sorted(pairs, key=lambda pair: -pair[1])
    start = 0
    while start < len(ordered):
        end = start
        while end < len(ordered) and ordered[end][1] == ordered[start][1]:
            end += 1
        new = sum(positive for positive, _ in ordered[start:end])
        seen, found = float(end), found + new
        total += new * found / seen
        start = end
    return min(1.0, total / found)
