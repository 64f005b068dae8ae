"""Group answers by how often they took something back: how many do, and how many of those are right."""

from collections.abc import Sequence
from dataclasses import dataclass

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics.intervals import Proportion


@dataclass(frozen=True)
class EventCount:
    """The answers with one number of events.

    Attributes:
        events: The number; the last group has all with as many or more.
        share: Share of all answers.
        right: Share of right ones among them. Answers that take back more often are those to harder problems,
            so the differences between groups are not what an event adds; a budget of edits tells that.
    """

    events: int
    share: Proportion
    right: Proportion


def right_by_events(events: Sequence[int], right: Sequence[bool], most: int = 3) -> list[EventCount]:
    """Return the answers with 0, 1, ... events, and those with ``most`` or more.

    Args:
        events: Number of events of each answer.
        right: Whether each answer is right.
        most: The number at which the last group begins, at least 1.

    Raises:
        MetricError: Lengths differ, a number is negative, or ``most`` is below 1.
    """
    if len(events) != len(right):
        raise MetricError(f"{len(events)} numbers of events for {len(right)} answers.", "Pass one for each.")
    if most < 1 or any(number < 0 for number in events):
        raise MetricError(
            f"Groups of answers up to {most} events, of at least {min(events, default=0)}.",
            "Pass most >= 1, and numbers that are not negative.",
        )
    groups: list[list[bool]] = [[] for _ in range(most + 1)]
    for number, told in zip(events, right, strict=True):
        groups[min(number, most)].append(told)
    return [
        EventCount(
            number, Proportion.of(len(group), len(events)), Proportion.of(sum(map(bool, group)), len(group))
        )
        for number, group in enumerate(groups)
    ]
