"""Measure a signal on held-out problems: AUROC, average precision, and lead time before the token."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from halluc_plugin.jobs.signals.asked import Signal
from halluc_plugin.jobs.signals.calibration import Calibration, Judgement, calibrate
from halluc_plugin.jobs.signals.places import SignalPlace
from halluc_plugin.jobs.signals.reading import Value
from halluc_plugin.metrics import Proportion
from halluc_plugin.metrics.ranking import Ranking, ranking

Valued = Sequence[tuple[SignalPlace, Value]]
"""Places, each with the value of one signal."""


@dataclass(frozen=True)
class Window:
    """What a signal says of a dead text from which the policy took something back.

    Attributes:
        problem: Number of the problem.
        tokens: Number of tokens from the beginning of the wrong step to the edit.
        values: The values in the states that follow one another, at least one; the last one is known in the
            state in which the edit is taken, and none is the value of a token before the wrong step.
    """

    problem: int
    tokens: int
    values: Sequence[float]


@dataclass(frozen=True)
class Flagged:
    """What passes a threshold on problems that it was not chosen on.

    Attributes:
        live: Share of live steps that are flagged, with problems as clusters.
        dead: Share of dead ones that are flagged.
    """

    live: Proportion
    dead: Proportion


@dataclass(frozen=True)
class Lead:
    """How long before the token a signal tells that a text is dead.

    A signal tells it in the first state in which a value of a token of the wrong step, or of what follows it,
    is known and passes the threshold of tokens. The lead is the number of tokens that are written from that
    state to the edit; 0 in the state in which the edit is taken.

    Attributes:
        events: Number of dead texts from which the policy took something back first of all.
        tokens: Mean number of tokens from the beginning of the wrong step to the edit.
        before: Share of events of which the signal tells one token or more before the edit.
        by_chance: Share of live steps in which the signal passes the threshold somewhere.
        leads: The lead of each event, in tokens; None if the signal does not tell.
        median: Median of the leads of those that it tells, None if there are none.
    """

    events: int
    tokens: float
    before: Proportion
    by_chance: Proportion
    leads: tuple[int | None, ...]
    median: float | None


@dataclass(frozen=True)
class SignalFound:
    """The measurements of one signal on one policy.

    Attributes:
        signal: The signal.
        dead: How it ranks dead places above live ones.
        fell: How it ranks places whose last step is wrong above those whose last step is right, in text that
            was live before.
        dead_by_depth: The first by the number of steps of the text.
        fell_by_depth: The second by the number of steps of the text.
        steps: Threshold of the values of steps, from problems of even number on which no head was fitted.
        steps_held_out: What passes it among the measured places.
        tokens: Threshold of the largest value at a token of a step; None if the signal is not read at tokens.
        tokens_held_out: What passes that one; None if the signal is not read at tokens.
        lead: The lead time; None if it was not measured.
        no_lead: The reason why it was not measured; empty if it was.
    """

    signal: Signal
    dead: Ranking
    fell: Ranking
    dead_by_depth: Mapping[int, Ranking]
    fell_by_depth: Mapping[int, Ranking]
    steps: Calibration
    steps_held_out: Flagged
    tokens: Calibration | None
    tokens_held_out: Flagged | None
    lead: Lead | None
    no_lead: str


def calibrations(valued: Valued, false_alarm: float) -> tuple[Calibration, Calibration | None]:
    """Return the thresholds of steps and of tokens.

    Args:
        valued: The places of a calibration set.
        false_alarm: Largest share of live steps that may be flagged.

    Raises:
        MetricError: All places are of one kind.
    """
    steps = [Judgement(value.step, place.dead, place.depth) for place, value in valued]
    highest = [
        Judgement(value.highest, place.dead, place.depth)
        for place, value in valued
        if value.highest is not None
    ]
    return calibrate(steps, false_alarm), calibrate(highest, false_alarm) if highest else None


def flagged(valued: Valued, steps: float, tokens: float | None) -> tuple[Flagged, Flagged | None]:
    """Return what passes the threshold of steps, and what passes that of tokens somewhere in the last step.

    Args:
        valued: The places of held-out problems.
        steps: The threshold of steps.
        tokens: The threshold of tokens; None if the signal is not read at tokens.
    """
    by_step = [(place, value.step) for place, value in valued]
    highest = [(place, value.highest) for place, value in valued if value.highest is not None]
    return _flagged(by_step, steps), None if tokens is None else _flagged(highest, tokens)


def _flagged(values: Sequence[tuple[SignalPlace, float]], threshold: float) -> Flagged:
    kinds: tuple[dict[int, list[bool]], dict[int, list[bool]]] = ({}, {})
    for place, value in values:
        kinds[place.dead].setdefault(place.problem, []).append(value > threshold)
    return Flagged(*map(_share, kinds))


def rankings(valued: Valued) -> tuple[Ranking, Ranking, dict[int, Ranking], dict[int, Ranking]]:
    """Return the rankings of dead places and of wrong last steps, of all depths and by depth."""
    depths = sorted({place.depth for place, _ in valued})
    by_depth = {depth: [pair for pair in valued if pair[0].depth == depth] for depth in depths}
    return (
        _dead(valued),
        _fell(valued),
        {depth: _dead(part) for depth, part in by_depth.items()},
        {depth: _fell(part) for depth, part in by_depth.items()},
    )


def _dead(valued: Valued) -> Ranking:
    return ranking(_clustered([(place.problem, place.dead, value.step) for place, value in valued]))


def _fell(valued: Valued) -> Ranking:
    return ranking(
        _clustered(
            [(place.problem, place.fell, value.step) for place, value in valued if place.fell is not None]
        )
    )


def _clustered(rows: Sequence[tuple[int, bool, float]]) -> list[list[tuple[bool, float]]]:
    clusters: dict[int, list[tuple[bool, float]]] = {}
    for problem, positive, value in rows:
        clusters.setdefault(problem, []).append((positive, value))
    return list(clusters.values())


def lead_time(windows: Sequence[Window], by_chance: Proportion, threshold: float) -> Lead:
    """Return the lead time of a signal.

    Args:
        windows: The events.
        by_chance: Share of held-out live steps in which the signal passes the threshold somewhere.
        threshold: The threshold of tokens.
    """
    leads: list[int | None] = []
    told: dict[int, list[bool]] = {}
    for window in windows:
        first = next((number for number, value in enumerate(window.values) if value > threshold), None)
        # Counted from the edit, since signals begin in different states and end in the same one.
        leads.append(None if first is None else len(window.values) - 1 - first)
        told.setdefault(window.problem, []).append(bool(leads[-1]))
    known = [lead for lead in leads if lead is not None]
    lengths = [window.tokens for window in windows]
    return Lead(
        len(windows),
        statistics.fmean(lengths) if lengths else float("nan"),
        _share(told),
        by_chance,
        tuple(leads),
        statistics.median(known) if known else None,
    )


def _share(clusters: Mapping[int, Sequence[bool]]) -> Proportion:
    return Proportion.clustered([sum(c) for c in clusters.values()], [len(c) for c in clusters.values()])
