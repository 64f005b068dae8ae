"""Choose the threshold of a signal from judged places."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from halluc_plugin.errors import MetricError

FEW = 20
"""Number of live steps of one depth below which the threshold of all depths holds there."""


@dataclass(frozen=True)
class Judgement:
    """The value of a signal at a step that was judged.

    Attributes:
        value: The value; the larger, the likelier the text is dead.
        dead: Whether the text is dead behind the step.
        depth: Number of steps of the text.
    """

    value: float
    dead: bool
    depth: int


@dataclass(frozen=True)
class Calibration:
    """A threshold, and what passes it where it was chosen.

    Attributes:
        threshold: Value above which a step is flagged.
        by_depth: Threshold by the number of steps, from 1.
        live: Share of live steps that are flagged.
        dead: Share of dead ones that are flagged.
        n: Number of steps.
    """

    threshold: float
    by_depth: tuple[float, ...]
    live: float
    dead: float
    n: int

    @property
    def warning(self) -> str | None:
        """What is wrong with a threshold that is never or always passed, None if nothing is."""
        shares = {self.live, self.dead}
        if shares not in ({0.0}, {1.0}):
            return None
        how = "always" if shares == {1.0} else "never"
        return (
            f"The threshold {self.threshold:.4g} is {how} passed: {100 * self.dead:.0f} % of dead and "
            f"{100 * self.live:.0f} % of live steps among {self.n}."
        )


def calibrate(judged: Sequence[Judgement], false_alarm: float) -> Calibration:
    """Return the lowest threshold that flags at most a share of the live steps.

    Args:
        judged: The steps of a calibration set, of both kinds.
        false_alarm: Largest share of live steps that may be flagged, in (0, 1).

    Raises:
        MetricError: All steps are of one kind.
    """
    live = [each.value for each in judged if not each.dead]
    dead = [each.value for each in judged if each.dead]
    if not live or not dead:
        raise MetricError(
            f"The calibration set has {len(live)} live and {len(dead)} dead steps: one kind is missing.",
            "Give more or other problems (--limit, --data), or more --samples of each.",
        )
    threshold = _upper(live, false_alarm)
    depths = max(each.depth for each in judged)
    by_depth = []
    for depth in range(1, depths + 1):
        there = [each.value for each in judged if not each.dead and each.depth == depth]
        by_depth.append(_upper(there, false_alarm) if len(there) >= FEW else threshold)
    return Calibration(
        threshold, tuple(by_depth), _passed(live, threshold), _passed(dead, threshold), len(judged)
    )


def _upper(values: Sequence[float], share: float) -> float:
    """The lowest of the values that at most a share of them is above."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil((1 - share) * len(ordered) - 1e-9) - 1)]


def _passed(values: Sequence[float], threshold: float) -> float:
    return sum(value > threshold for value in values) / len(values)
