"""Figures 4, 5 and 7: how good scorers are on first answers, by what the oracle says of their steps."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from halluc_plugin.data.value_turns import with_turns
from halluc_plugin.metrics import step_value_quality
from halluc_plugin.metrics.step_values import NO_ERROR, ScoredResponse
from halluc_plugin.recipes.prm_backtracking.answers import First, first_answers
from halluc_plugin.recipes.prm_backtracking.models import Diet, Models
from halluc_plugin.recipes.prm_backtracking.tasks import DELIMITER
from halluc_plugin.scorers.steps import StepScorer

AROUND = 4
"""Steps before and behind the first error that figure 5 shows."""
THRESHOLD = 0.5


def measure_quality(models: Models) -> dict[str, Any]:
    """Measure what each scorer says of the first answers.

    Returns:
        By scorer: ``right`` and ``wrong``, 0 or 1 for each such answer, whether its last value is on the
        right side of 1/2; the mean squared error of steps against the oracle; ``prompt``, the mean value of
        the bare prompt, the oracle's, and the mean squared error; curves of figure 5.
    """
    firsts = first_answers(models)
    found: dict[str, Any] = {}
    for diet in Diet:
        found[str(diet)] = quality_of(scored(models, firsts, models.scorer(diet)), models.scorer_report(diet))
    behind = scored(models, firsts, models.scorer(Diet.TURNS), behind_another=True)
    found["in-context, behind another answer"] = quality_of(behind, models.scorer_report(Diet.TURNS))
    return {"scorers": found}


def scored(
    models: Models, firsts: Sequence[First], scorer: StepScorer, *, behind_another: bool = False
) -> list[ScoredResponse]:
    """Return first answers with the values of a scorer and of the oracle.

    Args:
        models: Whose tokenizer and space.
        firsts: The answers.
        scorer: Rates them.
        behind_another: Whether it reads another answer to the same problem before, and whether that is right.
    """
    tokenizer, space = models.problems.tokenizer, models.space
    prompts = []
    for first in firsts:
        turn = (space.steps(first.other.ids), first.right(tokenizer)(first.other))
        turns = [turn] if behind_another else []
        prompts.append(with_turns(first.problem.prompt, turns, tokenizer, step_delimiter=DELIMITER))
    steps = [space.steps(first.answer.ids) for first in firsts]
    values = scorer.score(prompts, steps).tolist()
    return [
        ScoredResponse(number, row[: len(first.values)], first.values, first.correct)
        for number, (first, row) in enumerate(zip(firsts, values, strict=True))
    ]


def quality_of(responses: Sequence[ScoredResponse], report: dict[str, Any]) -> dict[str, Any]:
    """Return what :func:`measure_quality` keeps of a scorer.

    Args:
        responses: First answers with the values of the scorer and of the oracle.
        report: What training it came to.
    """
    quality = step_value_quality(responses)
    right = [int(r.values[-1] >= THRESHOLD) for r in responses if r.correct]
    wrong = [int(r.values[-1] < THRESHOLD) for r in responses if not r.correct]
    return {
        "rows": report["rows"],
        "steps": report["steps"],
        "right": {"correct": right},
        "wrong": {"correct": wrong},
        "mse": quality.mse,
        "ece": quality.ece,
        "first_error_auroc": quality.first_error_auroc.value,
        "prompt": _of_prompts(responses),
        "curves": {"right": _over_steps(responses), "wrong": _around_error(responses)},
    }


def _of_prompts(responses: Sequence[ScoredResponse]) -> dict[str, float]:
    found = [
        (response.values[0], target) for response in responses if (target := response.targets[0]) is not None
    ]
    return {
        "value": fmean(value for value, _ in found),
        "oracle": fmean(target for _, target in found),
        "mse": fmean((value - target) ** 2 for value, target in found),
    }


def _over_steps(responses: Sequence[ScoredResponse]) -> dict[str, list[float]]:
    """Means over right answers behind each step: of the scorer, and of the oracle."""
    places: dict[str, list[tuple[float, float]]] = {}
    for response in responses:
        if response.correct:
            _add(places, response, range(len(response.values)), 0)
    return _means(places)


def _around_error(responses: Sequence[ScoredResponse]) -> dict[str, list[float]]:
    """Means over wrong answers, by steps from the first error: 0 is behind it."""
    places: dict[str, list[tuple[float, float]]] = {}
    for response in responses:
        error = response.first_error
        if error is not None and error != NO_ERROR:
            at = error + 1  # the value behind step i has index i + 1
            last = min(at + AROUND, len(response.values) - 1)
            _add(places, response, range(max(0, at - AROUND), last + 1), at)
    return _means(dict(sorted(places.items(), key=lambda place: int(place[0]))))


def _add(
    places: dict[str, list[tuple[float, float]]], response: ScoredResponse, steps: range, origin: int
) -> None:
    for step in steps:
        target = response.targets[step]
        if target is not None:
            places.setdefault(str(step - origin), []).append((response.values[step], target))


def _means(places: dict[str, list[tuple[float, float]]]) -> dict[str, list[float]]:
    """By place: mean value, mean target, and how many."""
    return {
        place: [sum(v for v, _ in of) / len(of), sum(t for _, t in of) / len(of), len(of)]
        for place, of in places.items()
    }
