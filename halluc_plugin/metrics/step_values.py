"""Measure how good values of steps are: calibrated, close to Monte Carlo, and low from the first error on.

A target is the known value of a prefix, from 0 to 1: the share of right continuations (Monte Carlo), or a
label. The first error of a response is its first step with target 0, of which no continuation came to a right
answer; a right response has none. That is how L. Luo et al. (OmegaPRM, arXiv 2406.06592) read Monte-Carlo
values, and the labels of C. Zheng et al. (ProcessBench, arXiv 2412.06559) say the same of steps.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics.discrimination import StepEnd, discrimination
from halluc_plugin.metrics.intervals import Proportion

BINS = 10
"""Number of bins of equal width, for calibration."""
THRESHOLD = 0.5
"""Value below which a scorer holds a step for wrong."""
NO_ERROR = -1
"""ProcessBench's index of the first error in a response without errors."""


@dataclass(frozen=True)
class ScoredResponse:
    """One response of S steps.

    Attributes:
        problem: Key of the problem; responses to one problem are a cluster.
        values: S + 1 values of a scorer: of the bare prompt, and of the prefix that ends with each step.
        targets: S + 1 targets of the same prefixes; None for a target that is not known.
        correct: Whether the whole response is right.

    Raises:
        MetricError: There is no step, or the number of targets is not that of values.
    """

    problem: Hashable
    values: Sequence[float]
    targets: Sequence[float | None]
    correct: bool

    def __post_init__(self) -> None:
        if len(self.values) != len(self.targets) or len(self.values) < 2:
            raise MetricError(
                f"{len(self.values)} values and {len(self.targets)} targets.",
                "Give one of each for the bare prompt and for every step, at least one.",
            )

    @property
    def first_error(self) -> int | None:
        """Index from 0 of the first wrong step, :data:`NO_ERROR` for none; None if it is not known.

        If right answers follow from a prefix, they also follow from every shorter one. So a step without a
        target is right if a later step has a target above 0, as a binary search leaves them.
        """
        steps = self.targets[1:]
        if 0 not in steps:
            return NO_ERROR if self.correct or None not in steps else None
        lost = steps.index(0)
        good = max((step for step in range(lost) if steps[step]), default=-1)
        return None if None in steps[good + 1 : lost] else lost

    def said_first_error(self, threshold: float = THRESHOLD) -> int:
        """Return the index from 0 of the first step whose value is below the threshold.

        The result is :data:`NO_ERROR` if there is no such step.
        """
        return next((i for i, value in enumerate(self.values[1:]) if value < threshold), NO_ERROR)


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability plot: the number of its values, their mean, and the mean of their targets."""

    count: int
    value: float
    target: float


@dataclass(frozen=True)
class StepValueQuality:
    """The quality of values of steps; a figure is nan if the data cannot show it.

    Attributes:
        responses: Number of responses.
        steps: Number of steps with a known target.
        mse: Mean squared difference of value and target over these steps.
        ece: Expected calibration error over them: the mean of |mean value - mean target| over :data:`BINS`
            bins of values, weighted by their steps (C. Guo et al., arXiv 1706.04599, with soft targets).
        brier: Mean squared difference of the last value and 0 or 1 for a wrong or right response.
        accuracy_right: Share of right responses whose last value is at least 1/2.
        accuracy_wrong: Share of wrong responses whose last value is below 1/2.
        first_error_auroc: Probability that the value of a first wrong step is below that of a step before any
            error, ties counted half; over all pairs of the steps of all responses.
        advantage_auroc: The same for advantages, the value minus the value before.
        first_error_f1: ProcessBench's F1 for the step where values first fall below 1/2.
        bins: The bins of a reliability plot, without empty ones.
    """

    responses: int
    steps: int
    mse: float
    ece: float
    brier: float
    accuracy_right: Proportion
    accuracy_wrong: Proportion
    first_error_auroc: Proportion
    advantage_auroc: Proportion
    first_error_f1: float
    bins: Sequence[Bin]

    def as_metrics(self) -> dict[str, float]:
        """Return the values by name, for a logger or a file."""
        return {
            "responses": float(self.responses),
            "steps": float(self.steps),
            "mse": self.mse,
            "ece": self.ece,
            "brier": self.brier,
            "accuracy_right": self.accuracy_right.value,
            "accuracy_wrong": self.accuracy_wrong.value,
            "first_error_auroc": self.first_error_auroc.value,
            "first_error_auroc_low": self.first_error_auroc.low,
            "first_error_auroc_high": self.first_error_auroc.high,
            "advantage_auroc": self.advantage_auroc.value,
            "first_error_f1": self.first_error_f1,
        }


def step_value_quality(responses: Sequence[ScoredResponse]) -> StepValueQuality:
    """Return the quality of values of steps.

    Args:
        responses: Scored responses with known targets.
    """
    pairs = [
        (value, target)
        for response in responses
        for value, target in zip(response.values[1:], response.targets[1:], strict=True)
        if target is not None
    ]
    bins = _bins(pairs)
    right, wrong = ([r for r in responses if r.correct is kind] for kind in (True, False))
    located = [(r, place) for r in responses if (place := r.first_error) is not None]
    return StepValueQuality(
        responses=len(responses),
        steps=len(pairs),
        mse=_mean([(value - target) ** 2 for value, target in pairs]),
        ece=_mean([abs(each.value - each.target) for each in bins for _ in range(each.count)]),
        brier=_mean([(r.values[-1] - r.correct) ** 2 for r in responses]),
        accuracy_right=_share([(r.problem, r.values[-1] >= THRESHOLD) for r in right]),
        accuracy_wrong=_share([(r.problem, r.values[-1] < THRESHOLD) for r in wrong]),
        first_error_auroc=_auroc(located, lambda r, step: r.values[step + 1]),
        advantage_auroc=_auroc(located, lambda r, step: (1 + r.values[step + 1] - r.values[step]) / 2),
        first_error_f1=first_error_f1(
            [(place != NO_ERROR, float(r.said_first_error() == place)) for r, place in located]
        ),
        bins=bins,
    )


def first_error_f1(pairs: Sequence[tuple[bool, float]]) -> float:
    """Return ProcessBench's F1 for finding the first wrong step.

    This is the harmonic mean of the accuracies on responses with a wrong step and on those without one.

    Args:
        pairs: For each response, whether one of its steps is wrong, and how right, from 0 to 1, the stated
            first error is.

    Returns:
        F1 in [0, 1]; 0 if either kind of response is missing.
    """
    of_wrong, of_right = ([right for wrong, right in pairs if wrong is kind] for kind in (True, False))
    accuracies = [sum(kind) / len(kind) if kind else 0.0 for kind in (of_wrong, of_right)]
    return 2 * accuracies[0] * accuracies[1] / sum(accuracies) if sum(accuracies) else 0.0


def _auroc(
    located: Sequence[tuple[ScoredResponse, int]], value: Callable[[ScoredResponse, int], float]
) -> Proportion:
    """Return the AUC of first wrong steps against the steps before; lower values indicate an error."""
    places: dict[Hashable, list[StepEnd]] = defaultdict(list)
    for response, place in located:
        steps = range(len(response.values) - 1) if place == NO_ERROR else range(place + 1)
        places[response.problem] += [
            StepEnd(dead=step == place, mass=1 - value(response, step)) for step in steps
        ]
    return discrimination(list(places.values())).auc


def _share(found: Sequence[tuple[Hashable, bool]]) -> Proportion:
    by_problem: dict[Hashable, list[bool]] = defaultdict(list)
    for problem, hit in found:
        by_problem[problem].append(hit)
    return Proportion.clustered(
        [float(sum(hits)) for hits in by_problem.values()], [len(hits) for hits in by_problem.values()]
    )


def _bins(pairs: Sequence[tuple[float, float]]) -> list[Bin]:
    members: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for value, target in pairs:
        members[min(int(value * BINS), BINS - 1)].append((value, target))
    return [
        Bin(len(found), _mean([value for value, _ in found]), _mean([target for _, target in found]))
        for _, found in sorted(members.items())
    ]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
