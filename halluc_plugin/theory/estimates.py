"""Estimate means of simulations with their intervals, and check the parameters of a simulation."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from halluc_plugin.errors import SettingsError
from halluc_plugin.metrics.intervals import Z95, Proportion


@dataclass(frozen=True)
class Mean:
    """A mean of independent runs with its 95 % normal interval.

    Attributes:
        value: The mean.
        n: Number of runs.
        low: Lower limit.
        high: Upper limit.
    """

    value: float
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, values: npt.NDArray[np.floating | np.integer]) -> "Mean":
        """Return the mean of one number for each run, of shape ``[n]``.

        Raises:
            SettingsError: There are fewer than two runs.
        """
        check_samples(len(values))
        value = float(np.mean(values))
        half = Z95 * float(np.std(values, ddof=1)) / math.sqrt(len(values))
        return cls(value, len(values), value - half, value + half)


Estimate = Mean | Proportion
"""A simulated quantity: a mean of runs, or a share of them."""


def check_share(name: str, value: float, *, positive: bool = False) -> None:
    """Refuse a probability outside [0, 1], and 0 too with ``positive``.

    Raises:
        SettingsError: The probability is out of range.
    """
    if not 0 <= value <= 1 or (positive and value == 0):
        interval = "above 0 and at most 1" if positive else "from 0 to 1"
        raise SettingsError(f"{name} = {value} is no probability.", f"Pass a number {interval}.")


def check_samples(samples: int) -> None:
    """Refuse a simulation with too few samples for an interval.

    Raises:
        SettingsError: ``samples`` is below 2.
    """
    if samples < 2:
        raise SettingsError(f"A simulation of {samples} runs has no interval.", "Pass samples >= 2.")
