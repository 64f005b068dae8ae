"""Compute means of quantities without bounds, such as nats a token, with 95 % intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics.intervals import Z95


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % interval.

    Attributes:
        value: The mean; nan when ``n`` is 0.
        n: Number of observations.
        low: Lower limit, -inf where the data cannot show one.
        high: Upper limit, inf where the data cannot show one.
    """

    value: float
    n: int
    low: float
    high: float

    @classmethod
    def clustered(cls, sums: Sequence[float], counts: Sequence[int]) -> "Mean":
        """Return the pooled mean of observations in clusters, such as the tokens of one text.

        The interval is normal, with the between-cluster variance of the ratio estimator (W. G. Cochran,
        Sampling Techniques, 3rd ed. 1977, equation 6.13): tokens of one text are not independent.

        Args:
            sums: For each cluster, the sum of its observations.
            counts: For each cluster, their number. Clusters without any are left out.

        Raises:
            MetricError: Lengths differ.
        """
        if len(sums) != len(counts):
            raise MetricError(
                f"{len(sums)} sums, {len(counts)} counts.", "Pass one of each for every cluster."
            )
        clusters = [(total, count) for total, count in zip(sums, counts, strict=True) if count]
        n, size = sum(counts), len(clusters)
        if not n:
            return cls(math.nan, 0, -math.inf, math.inf)
        value = math.fsum(total for total, _ in clusters) / n
        if size == 1:
            return cls(value, n, -math.inf, math.inf)
        spread = math.fsum((total - value * count) ** 2 for total, count in clusters)
        half = Z95 * math.sqrt(size / (size - 1) * spread) / n
        return cls(value, n, value - half, value + half)
