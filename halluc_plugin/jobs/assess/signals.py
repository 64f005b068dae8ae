"""Measure how well a model can already tell dead from live texts, on held-out problems.

Problems of even number choose a threshold (the largest D) and fit the linear probe; those of odd number are
measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from halluc_plugin.jobs.assess.records import PlaceRecord, ProblemRecord
from halluc_plugin.metrics import Discrimination, StepEnd, discrimination

PROBE, EDIT = "probe", "edit"
FEW = 10
"""Number of places of a kind, dead or live, in either half, below which nothing is reported."""

Scored = Sequence[Sequence[tuple[PlaceRecord, float]]]
"""For each problem its places, each with a value of one signal."""


@dataclass(frozen=True)
class SignalMeasure:
    """The measurements of one signal.

    Attributes:
        name: Name of the signal.
        chosen_by: D on the problems that chose the threshold, used to choose among signals. For the
            probability of an edit it is D of the mean probabilities there.
        ranked: How well the signal ranks places; only its ``auc`` has a meaning.
        cut: P(flagged | dead), P(flagged | live) and D at the threshold. For the probability of an edit,
            which acts by itself, the mean probabilities without a threshold.
        recall: P(flagged | dead) by the number of steps of the text, pooled where places are few.
        false_alarm: P(flagged | live) by the number of steps of the text, pooled where places are few.
    """

    name: str
    chosen_by: float
    ranked: Discrimination
    cut: Discrimination
    recall: list[float]
    false_alarm: list[float]


@dataclass(frozen=True)
class Signals:
    """All signals that could be measured, and why others could not.

    Attributes:
        measured: The measurements by name of the signal.
        missing: The reason why a signal could not be measured, by its name.
    """

    measured: dict[str, SignalMeasure]
    missing: dict[str, str]

    @property
    def best(self) -> SignalMeasure | None:
        """The signal with the largest D on the problems that chose thresholds."""
        return max(self.measured.values(), key=lambda signal: signal.chosen_by, default=None)


def signals_of(records: Sequence[ProblemRecord], depth: int, *, edits: bool, verdicts: bool) -> Signals:
    """Measure all signals.

    Args:
        records: The records of all problems.
        depth: Number of steps of an answer.
        edits: Whether the model has an edit token.
        verdicts: Whether the model was asked for verdicts.
    """
    missing: dict[str, str] = {}
    if not edits:
        missing[EDIT] = "the tokenizer has no backtrack token"
    if not verdicts:
        missing["verdict"] = "the tokenizer has no single tokens 0 and 1"
    fit, test = ([record.places for record in records[half::2]] for half in (0, 1))
    counts = [
        sum(place.dead is kind for each in half for place in each)
        for half in (fit, test)
        for kind in (True, False)
    ]
    if min(counts) < FEW:
        reason = f"{min(counts)} places of a kind in half of the problems, and {FEW} are needed"
        return Signals({}, dict.fromkeys(("likelihood", "entropy", PROBE, "verdict", EDIT), reason) | missing)
    names = next(places[0].signals for places in fit if places)
    measured = {name: _measured(name, _values(fit, name), _values(test, name), depth) for name in names}
    measured[PROBE] = _measured(PROBE, *_probed(fit, test), depth)
    return Signals(measured, missing)


def _values(half: Sequence[Sequence[PlaceRecord]], name: str) -> Scored:
    return [[(place, place.signals[name]) for place in places] for places in half]


def _probed(
    fit: Sequence[Sequence[PlaceRecord]], test: Sequence[Sequence[PlaceRecord]]
) -> tuple[Scored, Scored]:
    import torch

    from halluc_plugin.probes import LinearProbe

    def features(half: Sequence[Sequence[PlaceRecord]]) -> torch.Tensor:
        return torch.tensor([place.hidden for places in half for place in places])

    # Half of the first half chooses the threshold: on what a probe was fitted on it finds all too well.
    inner, outer = fit[::2], fit[1::2]
    kinds = {place.dead for places in inner for place in places}
    fitted = inner if len(kinds) == 2 else fit
    probe = LinearProbe(features(fitted), [place.dead for places in fitted for place in places])

    def scored(half: Sequence[Sequence[PlaceRecord]]) -> Scored:
        values = iter(probe.dead(features(half)))
        return [[(place, next(values)) for place in places] for places in half]

    return scored(outer if any(outer) else fit), scored(test)


def _measured(name: str, fit: Scored, test: Scored, depth: int) -> SignalMeasure:
    threshold, chosen_by = _threshold(fit)
    values = np.sort([value for places in test for _, value in places])
    ranks = [
        [StepEnd(place.dead, float(np.searchsorted(values, value)) / len(values)) for place, value in places]
        for places in test
    ]
    if name == EDIT:
        masses = _as_they_are(test)
        chosen_by = _difference(_as_they_are(fit)).difference.value
    else:
        masses = [[(place, float(value > threshold)) for place, value in places] for places in test]
    cut = _difference(masses)
    return SignalMeasure(
        name,
        chosen_by,
        discrimination(ranks),
        cut,
        [_by_depth(masses, n, cut.dead.value, dead=True) for n in range(1, depth + 1)],
        [_by_depth(masses, n, cut.live.value, dead=False) for n in range(1, depth + 1)],
    )


def _as_they_are(scored: Scored) -> Scored:
    """Probabilities of an edit, which acts by itself."""
    return [[(place, min(1.0, value)) for place, value in places] for places in scored]


def _difference(masses: Scored) -> Discrimination:
    return discrimination([[StepEnd(place.dead, mass) for place, mass in places] for places in masses])


def _threshold(scored: Scored) -> tuple[float, float]:
    """The value above which flagging gives the largest D, halfway to the next, and that D."""
    pairs = sorted((value, place.dead) for places in scored for place, value in places)
    dead = sum(is_dead for _, is_dead in pairs)
    sizes = {True: max(1, dead), False: max(1, len(pairs) - dead)}
    above = {True: dead, False: len(pairs) - dead}
    best, at = 0.0, float("inf")
    for (value, is_dead), (following, _) in pairwise(pairs):
        above[is_dead] -= 1
        gap = above[True] / sizes[True] - above[False] / sizes[False]
        if following > value and gap > best:
            best, at = gap, (value + following) / 2
    return at, best


def _by_depth(masses: Scored, depth: int, pooled: float, *, dead: bool) -> float:
    found = [
        mass for places in masses for place, mass in places if place.depth == depth and place.dead is dead
    ]
    return float(np.mean(found)) if len(found) >= FEW else pooled
