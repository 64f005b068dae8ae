"""Figures 6, 8 and 9, and equal FLOPs: first answers revised by each arm, best-of-N, and the token."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.edits import collapse
from halluc_plugin.jobs.search_plans import earlier_turns
from halluc_plugin.recipes.prm_backtracking.answers import First, Outcomes, first_answers
from halluc_plugin.recipes.prm_backtracking.meters import Meter, Point, ranked_points, revision_points
from halluc_plugin.recipes.prm_backtracking.models import TOGETHER, Diet, Models, flat
from halluc_plugin.recipes.prm_backtracking.tasks import DELIMITER
from halluc_plugin.sampling.driver import run
from halluc_plugin.sampling.independent import independent
from halluc_plugin.sampling.networks import load_network
from halluc_plugin.sampling.rating import Rater
from halluc_plugin.sampling.states import Response
from halluc_plugin.scorers.step_oracle import StepOracle
from halluc_plugin.search.revision import Arm, Reading, Revising, Revision, revise

ORACLE, REACHABLE, LEARNED, IN_CONTEXT = "oracle", "reachability", "learned", "in-context"
MIN, FIRST, RANDOM = Arm.MIN_ADVANTAGE, Arm.FIRST, Arm.RANDOM
REVISED = {
    f"{ORACLE}, {MIN}": (ORACLE, MIN),
    f"{REACHABLE}, {MIN}": (REACHABLE, MIN),
    f"{ORACLE}, {FIRST}": (ORACLE, FIRST),
    f"{ORACLE}, {RANDOM}": (ORACLE, RANDOM),
    f"{LEARNED}, {MIN}": (LEARNED, MIN),
    f"{IN_CONTEXT}, {MIN}": (IN_CONTEXT, MIN),
    f"{LEARNED}, {FIRST}": (LEARNED, FIRST),
    f"{LEARNED}, {RANDOM}": (LEARNED, RANDOM),
}
"""What gives values, and which step is revised, by name. N, M and first answers are the same."""
EDITED_ROOM = 2
"""A trace that takes back may be so many times as long as an answer."""


def measure_revisions(models: Models, name: str) -> dict[str, Any]:
    """Revise all first answers by an arm.

    Returns:
        ``points``, for each problem where it stood before the first revision and after each; ``wrong``,
        whether its first answer is; and, for the learned scorer, one revision drawn.
    """
    source, arm = REVISED[name]
    firsts = first_answers(models)
    plan = Revising(n=models.scale.n, revisions=models.scale.revisions, arm=arm, seed=models.seed)
    told: list[list[Revision]] = [[] for _ in firsts]
    readings = [_reading(models, first) if source == IN_CONTEXT else None for first in firsts]
    prompts = [first.problem.prompt for first in firsts]
    searches = [
        revise(prompt, models.space, plan, first=first.answer, tell=tell.append, reading=reading)
        for prompt, first, tell, reading in zip(prompts, firsts, told, readings, strict=True)
    ]
    salt = 10 + list(REVISED).index(name)
    found = run(searches, prompts, models.sampler(salt), rater=_rater(models, firsts, source))
    shape = models.shape if source in {LEARNED, IN_CONTEXT} else None
    points = [
        revision_points(
            Meter(first.problem.prompt, models.shape, shape), first.answer, of, result.samples,
            prompt=first.problem.prompt, reading=reading, right=first.right(models.problems.tokenizer),
            revisions=models.scale.revisions,
        )
        for first, of, result, reading in zip(firsts, told, found, readings, strict=True)
    ]  # fmt: skip
    rollouts = [[f.rollout_tokens, f.rollout_flops] if name == f"{ORACLE}, {MIN}" else [0, 0] for f in firsts]
    cell = _cell(firsts, points) | {"rollouts": _mean_rows(rollouts, firsts)}
    return cell | ({"drawn": _drawn(models, firsts, told)} if name == f"{LEARNED}, {MIN}" else {})


def _rater(models: Models, firsts: Sequence[First], source: str) -> Rater:
    tokenizer = models.problems.tokenizer
    match source:
        case "oracle":
            return Outcomes(firsts, tokenizer)
        case "reachability":
            return StepOracle([first.problem for first in firsts], tokenizer, models.space.eos_ids)
        case "learned":
            return models.scorer(Diet.OWN_BALANCED)
    return models.scorer(Diet.TURNS)


def _reading(models: Models, first: First) -> Reading:
    return earlier_turns(first.problem.prompt, models.scale.turns, models.problems.tokenizer, DELIMITER)


def measure_samples(models: Models) -> dict[str, Any]:
    """Best-of-N of the policy, begun with the first answer."""
    firsts = first_answers(models)
    prompts = [first.problem.prompt for first in firsts]
    searches = [independent(prompt, models.space, models.scale.samples - 1) for prompt in prompts]
    found = run(searches, prompts, models.sampler(30))
    traces = [
        [first.answer.ids, *(sample.ids for _, sample in of.samples)]
        for first, of in zip(firsts, found, strict=True)
    ]
    return _ranked(models, firsts, traces)


def measure_token(models: Models) -> dict[str, Any]:
    """Best-of-N of the policy that takes back by itself, in soft context."""
    firsts, copies = first_answers(models), models.scale.samples
    decoding = Decoding(
        models.space.vocab, EDITED_ROOM * models.space.max_tokens, eos_ids=models.space.eos_ids
    )
    network = load_network(str(models.token_policy))
    generator = torch.Generator(network.device).manual_seed(1000 * models.seed + 40)
    prompts = [first.problem.prompt for first in firsts for _ in range(copies)]
    traces = flat(
        [
            [
                tuple(trace.ids)
                for trace in decode(network, prompts[at : at + TOGETHER], decoding, generator=generator)
            ]
            for at in range(0, len(prompts), TOGETHER)
        ]
    )
    edits = models.space.vocab.edit_ids
    cell = _ranked(models, firsts, [traces[at : at + copies] for at in range(0, len(traces), copies)])
    trained = models.trained_tokens()
    return cell | {
        "edited": sum(not edits.isdisjoint(trace) for trace in traces) / len(traces),
        "trained": trained,
    }


def _ranked(
    models: Models, firsts: Sequence[First], traces: Sequence[Sequence[tuple[int, ...]]]
) -> dict[str, Any]:
    """Samples of each problem, ranked by the learned scorer and by the exact judge."""
    counts = [n for n in (1, 2, 4, 8, 16, 32) if n <= models.scale.samples]
    answers = [[_answer(models, trace) for trace in of] for of in traces]
    scores = _last_values(models, firsts, answers)
    cell: dict[str, Any] = {"counts": counts}
    for source in (ORACLE, LEARNED):
        points = []
        for first, of, left, rated in zip(firsts, traces, answers, scores, strict=True):
            right = first.right(models.problems.tokenizer)
            exact = [float(answer is not None and right(answer)) for answer in left]
            shape = models.shape if source == LEARNED else None
            points.append(
                ranked_points(
                    Meter(first.problem.prompt, models.shape, shape), of, left,
                    rated if source == LEARNED else exact,
                    prompt=first.problem.prompt, right=right, counts=counts, enough=Revising().p_des,
                )
            )  # fmt: skip
        cell[source] = _cell(firsts, points)
    return cell


def _answer(models: Models, trace: Sequence[int]) -> Response | None:
    live = tuple(collapse(trace, models.space.vocab))
    return Response(live) if live and live[-1] in models.space.eos_ids else None


def _last_values(
    models: Models, firsts: Sequence[First], answers: Sequence[Sequence[Response | None]]
) -> list[list[float]]:
    asked = [
        (number, place, answer)
        for number, of in enumerate(answers)
        for place, answer in enumerate(of)
        if answer is not None
    ]
    scorer = models.scorer(Diet.OWN_BALANCED)
    prompts = [firsts[number].problem.prompt for number, _, _ in asked]
    steps = [models.space.steps(answer.ids) for _, _, answer in asked]
    scores = [[0.0] * len(of) for of in answers]
    values = scorer.score(prompts, steps).tolist() if asked else []
    for (number, place, _), row, cut in zip(asked, values, steps, strict=True):
        scores[number][place] = row[len(cut)]
    return scores


def _cell(firsts: Sequence[First], points: Sequence[Sequence[Point]]) -> dict[str, Any]:
    """Means at each checkpoint over all problems and over those with a wrong first answer."""
    wrong = [number for number, first in enumerate(firsts) if not first.correct]
    return {"all": _means(points), "wrong": _means([points[number] for number in wrong])}


def _means(points: Sequence[Sequence[Point]]) -> list[dict[str, Any]]:
    """By checkpoint: 0 or 1 of each problem as a text of digits, and means of what it took."""
    found = []
    for at in zip(*points, strict=True):
        count = len(at)
        found.append(
            {
                "correct": "".join(str(int(point.right)) for point in at),
                "tokens": sum(point.tokens for point in at) / count,
                "flops": sum(point.flops for point in at) / count,
                "scorer_flops": sum(point.scorer_flops for point in at) / count,
            }
        )
    return found


def _mean_rows(rollouts: Sequence[Sequence[int]], firsts: Sequence[First]) -> dict[str, list[float]]:
    """Mean tokens and FLOPs of the oracle's rollouts, over all problems and over wrong ones.

    A right first answer is not revised, and its steps need no values.
    """
    wrong = [row for row, first in zip(rollouts, firsts, strict=True) if not first.correct]
    totals = [sum(column) for column in zip(*wrong, strict=True)] or [0, 0]
    return {
        "all": [total / max(1, len(firsts)) for total in totals],
        "wrong": [total / max(1, len(wrong)) for total in totals],
    }


def _drawn(models: Models, firsts: Sequence[First], told: Sequence[Sequence[Revision]]) -> dict[str, Any]:
    """The wrong answer that was made right in most revisions: values and texts of each (figures 8, 9)."""
    tokenizer = models.problems.tokenizer

    def text(ids: Sequence[int]) -> str:
        return str(tokenizer.decode(list(ids), skip_special_tokens=True))

    def repaired(number: int) -> bool:
        of, first = told[number], firsts[number]
        return bool(of) and not first.correct and first.right(tokenizer)(of[-1].after.response)

    kept = [number for number in range(len(firsts)) if repaired(number)]
    if not kept:
        return {}
    number = max(kept, key=lambda n: (len({id(r.after) for r in told[n]}), -n))
    changes = [r for r in told[number] if r.after is not r.before]
    answers = [changes[0].before, *(r.after for r in changes)]
    return {
        "prompt": text(firsts[number].problem.prompt),
        "values": [list(answer.values) for answer in answers],
        "steps": [[text(step) for step in answer.steps] for answer in answers],
        "revised": [r.step for r in changes],
        "oracle": list(firsts[number].values),
    }


def measures(models: Models) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return what the stage measures, by name."""
    return {
        **{name: partial(measure_revisions, models, name) for name in REVISED},
        "best-of-N": partial(measure_samples, models),
        "token": partial(measure_token, models),
    }
