"""Measure whether a policy takes back what is dead and leaves what is live, at the ends of steps.

D = P(edit | dead) - P(edit | live), over the places where a token that ends a step has just been written. A
place is dead if the prefix oracle says that the goal is out of reach of the live text, and live otherwise.
The mass of a place is the probability that the next action is an edit. It is exact if logits are available;
otherwise it is 1 if an edit was sampled and 0 if not, whose mean is an unbiased estimate for the policy that
was sampled (its temperature included).

Places are pooled over traces, and intervals treat each trace as a cluster.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics.intervals import Difference, Proportion, unpaired_difference, wilson
from halluc_plugin.metrics.judged import JudgedTrace


@dataclass(frozen=True)
class StepEnd:
    """A place where a step has just been finished.

    Attributes:
        dead: Whether the goal is out of reach of the live text.
        mass: Probability that an edit comes next; 1 or 0 if only the sampled action is known.

    Raises:
        MetricError: The mass is outside [0, 1].
    """

    dead: bool
    mass: float

    def __post_init__(self) -> None:
        if not 0 <= self.mass <= 1:
            raise MetricError(f"The mass of an edit is {self.mass}.", "Give a probability.")


def step_ends(
    trace: JudgedTrace,
    delimiters: Collection[int],
    *,
    masses: Sequence[float] | None = None,
    budget: int | None = None,
    given: int = 0,
) -> list[StepEnd]:
    """Return the places of one trace, in order: after each delimiter that an action follows.

    Delimiters that are erased later count, too. An edit that follows another edit and the end of an answer
    without a delimiter are not places.

    Args:
        trace: The judged trace; its oracle is asked for the state after each delimiter.
        delimiters: Ids that end a step.
        masses: For each column, the probability that its action is an edit; None takes the sampled action.
        budget: Number of effective edits after which edits were banned; later places are left out. None for
            no limit.
        given: Number of columns, from the first, that were not sampled.
    """
    return list(_step_ends(trace, delimiters, masses, math.inf if budget is None else budget, given))


def _step_ends(
    trace: JudgedTrace,
    delimiters: Collection[int],
    masses: Sequence[float] | None,
    budget: float,
    given: int,
) -> Iterator[StepEnd]:
    spent = 0
    for column in trace.columns():
        if not trace.is_text(column):
            spent += trace.depth_before(column) > 0
        following = column + 1
        if spent >= budget or following == trace.end:
            return
        if following >= given and trace.is_text(column) and trace.token(column) in delimiters:
            mass = float(not trace.is_text(following)) if masses is None else masses[following]
            yield StepEnd(not trace.ok(column), mass)


@dataclass(frozen=True)
class Discrimination:
    """How well a policy tells dead from live texts.

    Attributes:
        dead: Mean mass of an edit where the text is dead, P(edit | dead).
        live: The same where it is live.
        difference: D, the first minus the second. Its interval treats the two as independent, and is too wide
            if traces with many edits have them at both kinds of places.
        auc: Probability that the mass at a dead place is above that at a live one, ties counted half, over
            all pairs. For masses that are 0 or 1 it is (1 + D) / 2 and adds no information.
    """

    dead: Proportion
    live: Proportion
    difference: Difference
    auc: Proportion

    def as_metrics(self) -> dict[str, float]:
        """Return the values by name, for a logger; nan if a kind of place is missing."""
        known = not math.isnan(self.difference.value)
        return {
            "p_edit_dead": self.dead.value,
            "p_edit_live": self.live.value,
            "step_ends_dead": float(self.dead.n),
            "step_ends_live": float(self.live.n),
            "d": self.difference.value,
            "d_low": self.difference.low if known else math.nan,
            "d_high": self.difference.high if known else math.nan,
            "edit_auc": self.auc.value,
        }


def discrimination(traces: Sequence[Sequence[StepEnd]]) -> Discrimination:
    """Return P(edit | dead), P(edit | live), D and AUC.

    Args:
        traces: The places of each trace.
    """
    dead, live = (
        _mean_mass([[p for p in places if p.dead is kind] for places in traces]) for kind in (True, False)
    )
    return Discrimination(dead, live, unpaired_difference(dead, live), _auc(traces))


Counts = tuple[int, int, int, int]
"""Edits sampled at dead places, and how many of these there are; the same at live ones."""


def counts_of(places: Sequence[StepEnd]) -> Counts:
    """Return the counts of places of which only the sampled action is known."""
    dead, live = ([place.mass for place in places if place.dead is kind] for kind in (True, False))
    return round(sum(dead)), len(dead), round(sum(live)), len(live)


def counted_discrimination(counts: Sequence[Counts]) -> Discrimination:
    """Return the :func:`discrimination` of counts, one for each trace or each problem's traces."""
    return discrimination(
        [
            [StepEnd(dead=True, mass=float(i < edits_dead)) for i in range(dead)]
            + [StepEnd(dead=False, mass=float(i < edits_live)) for i in range(live)]
            for edits_dead, dead, edits_live, live in counts
        ]
    )


def _mean_mass(traces: Sequence[Sequence[StepEnd]]) -> Proportion:
    masses = [math.fsum(place.mass for place in places) for places in traces]
    sizes = [len(places) for places in traces]
    # A sum of n masses may exceed n by rounding.
    return Proportion.clustered([min(mass, n) for mass, n in zip(masses, sizes, strict=True)], sizes)


Floats = npt.NDArray[np.float64]


def _auc(traces: Sequence[Sequence[StepEnd]]) -> Proportion:
    """Wilson's interval at an effective size that comes from the variance for clustered data.

    The variance is that of N. A. Obuchowski, Biometrics 53 (1997) 567. It vanishes where all masses are
    alike; the effective size is therefore at most the number of places of the rarer kind, at which the
    binomial variance is the largest that an AUC of independent places can have (Z. W. Birnbaum and
    O. M. Klose, Ann. Math. Stat. 28 (1957) 1017). Where clusters cannot show it, each counts as one place.
    """
    kinds = [
        [
            (number, place.mass)
            for number, places in enumerate(traces)
            for place in places
            if place.dead is kind
        ]
        for kind in (True, False)
    ]
    (of_dead, dead), (of_live, live) = (
        (np.array([i for i, _ in kind], np.int64), np.array([mass for _, mass in kind], np.float64))
        for kind in kinds
    )
    sizes = len(dead), len(live)
    if not all(sizes):
        return Proportion(math.nan, sum(sizes), 0.0, 1.0)
    above, beaten = _share_below(dead, live), 1 - _share_below(live, dead)
    value = float(above.mean())
    off = [
        np.asarray(np.bincount(of, part - value, minlength=len(traces)), np.float64)
        for of, part in ((of_dead, above), (of_live, beaten))
    ]
    clusters = min(len(set(of_dead.tolist())), len(set(of_live.tolist())))
    effective = float(clusters)
    if clusters > 1 and 0 < value < 1:
        variance = _variance(off, (of_dead, of_live))
        bound = min(sizes)
        effective = min(bound, value * (1 - value) / variance) if variance > 0 else bound
    return Proportion(value, sum(sizes), *wilson(value, effective))


def _share_below(masses: Floats, others: Floats) -> Floats:
    """For each mass, the share of the others that are below it, equal ones counted half."""
    others = np.sort(others)
    sides = np.searchsorted(others, masses, "left") + np.searchsorted(others, masses, "right")
    return sides / (2 * len(others))


def _variance(off: Sequence[Floats], clusters_of: Sequence[npt.NDArray[np.int64]]) -> float:
    """Obuchowski's, of the sums by cluster of what each place deviates, and the clusters of the places."""
    sizes = [len(of) for of in clusters_of]
    total = 0.0
    for part, of, size in zip(off, clusters_of, sizes, strict=True):
        count = len(np.unique(of))
        total += count / (count - 1) * float(part @ part) / size**2
    count = len(np.unique(np.concatenate(clusters_of)))
    return total + 2 * count / (count - 1) * float(off[0] @ off[1]) / (sizes[0] * sizes[1])
