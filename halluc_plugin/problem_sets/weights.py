"""Draw one of several kinds by weight."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

import numpy as np

from halluc_plugin.errors import SettingsError

Kind = TypeVar("Kind", bound=StrEnum)


def check_weights(weights: Sequence[float]) -> None:
    """Refuse weights that cannot be drawn by.

    Raises:
        SettingsError: A weight is negative, or all are zero.
    """
    if min(weights) < 0 or not sum(weights) > 0:
        raise SettingsError(
            f"The weights of the error kinds are {tuple(weights)}.", "Give numbers >= 0, not all zero."
        )


def draw_kind(kinds: Sequence[Kind], weights: Sequence[float], rng: np.random.Generator) -> Kind:
    """Return one of ``kinds``, drawn by weight."""
    chances = np.array(weights) / sum(weights)
    return kinds[int(rng.choice(len(chances), p=chances))]
