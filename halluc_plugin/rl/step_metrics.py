"""Compute the metrics of backtracking for a training step, for every tracker."""

import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from halluc_plugin.metrics import (
    Discrimination,
    JudgedTrace,
    StepEnd,
    discrimination,
    judge_ids,
    step_ends,
    summarise_events,
)
from halluc_plugin.rewards import components
from halluc_plugin.rl.answers import Answers
from halluc_plugin.rl.rollout_reader import RolloutReader
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.settings import Settings
from halluc_plugin.verifiers import PrefixVerifier, Verifier, prefix_oracle

COUNTS = (
    "num_events",
    "num_noops",
    "num_erased",
    "raw_length",
    "resolved_length",
    "truncated",
    "acc",
    "acc_raw",
)
SCORED = ("scorer_value", "scorer_disagrees", "scorer_overrates")
"""The keys of :meth:`halluc_plugin.rl.scored_states.ScoredStates.info`."""


def rollout_metrics(infos: Sequence[Mapping[str, Any]], masks: Sequence[Tensor]) -> dict[str, float]:
    """Return rates, lengths and rewards, and what backtracking made right or wrong.

    Args:
        infos: The reward manager's ``reward_extra_info`` of each answer.
        masks: The ``response_mask`` of each answer, Number[T] each.

    Returns:
        Metrics under ``backtrack/``: means over answers (reward components under ``backtrack/reward/``, those
        that read values only where the states of all answers were judged), the token efficiency and the
        masked share as ratios of sums over tokens; with continuations also the accuracy without edits, Δ(i→c)
        and Δ(c→i); with a scorer of steps its mean value of answers, the share of answers on which it and
        their judge disagree, and the share that only the scorer takes for right; of two turns how much the
        second attempt differs from the first. Empty when another reward
        manager scored the answers.
    """
    infos = [info for info in infos if "num_backtracks" in info]
    if not infos:
        return {}

    def mean(key: str) -> float:
        return sum(info[key] for info in infos) / len(infos)

    tokens = sum(mask.numel() for mask in masks)
    raw = mean("raw_length")
    return {
        "backtrack/rate": mean("backtracked"),
        "backtrack/per_answer": mean("num_backtracks"),
        **{f"backtrack/{key}": mean(key) for key in COUNTS if key in infos[0]},
        "backtrack/token_efficiency": mean("resolved_length") / raw if raw else 1.0,
        "backtrack/masked_share": 1 - sum(float(mask.sum()) for mask in masks) / tokens if tokens else 0.0,
        **{f"backtrack/reward/{key}": mean(key) for key in components().keys() - _unjudged(infos)},
        **{f"backtrack/{key}": mean(key) for key in (*SCORED, "turn_change") if key in infos[0]},
        **_correction(infos),
    }


def _unjudged(infos: Sequence[Mapping[str, Any]]) -> set[str]:
    """Components that would be 0, or less than they are, because some answer has no values for them."""
    moves, steps = (all(info.get(key, "null") != "null" for info in infos) for key in ("moves", "steps"))
    return {
        name
        for name, component in components().items()
        if (component.reads_values and not moves) or (component.reads_steps and not steps)
    }


def stage_metrics(settings: Settings, step: int) -> dict[str, float]:
    """Return a curriculum's ``stage``, from 0, and its ``budget`` if it has one, under ``backtrack/``."""
    if not settings.curriculum:
        return {}
    budget = settings.at(step).max_backtracks
    limited = {} if budget is None else {"backtrack/budget": float(budget)}
    return {"backtrack/stage": float(settings.stage(step)), **limited}


def _correction(infos: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """SCoRe's terms; the first answer is what was sampled from before the first event, with edits banned."""
    if not all("acc_without_edits" in info for info in infos):
        return {}
    pairs = [(info["acc_without_edits"], info["acc"]) for info in infos]
    return {
        "backtrack/acc_without_edits": sum(first for first, _ in pairs) / len(pairs),
        "backtrack/to_correct": sum((1 - first) * second for first, second in pairs) / len(pairs),
        "backtrack/to_incorrect": sum(first * (1 - second) for first, second in pairs) / len(pairs),
    }


@dataclass(frozen=True)
class ProblemRow:
    """An answer with its problem.

    Attributes:
        ids: Token ids of the raw trace.
        verifier: The verifier of the answer; None if a host scores it.
        ground_truth: Ground truth of the problem, as its verifier reads it.
        edit_masses: Probability of an edit at each action; None if it is not known.
    """

    ids: Sequence[int]
    verifier: Verifier | None
    ground_truth: Any
    edit_masses: Sequence[float] | None = None


def problem_rows(
    answers: Answers,
    asked: Sequence[PosedProblem],
    chosen: Collection[str],
    masses: Sequence[Sequence[float]] | None = None,
) -> list[ProblemRow]:
    """Return the answers of some keys with their problems.

    Args:
        answers: The answers of a step.
        asked: The problem of each.
        chosen: The keys.
        masses: Probability of an edit at each action of each answer; None if it is not known.
    """
    wanted = set(chosen)
    return [
        ProblemRow(ids, problem.verifier, problem.truth, None if masses is None else masses[number])
        for number, (key, ids, problem) in enumerate(zip(answers.keys, answers.responses, asked, strict=True))
        if key in wanted
    ]


def drawn(keys: Collection[str], count: int, step: int) -> list[str]:
    """Return at most ``count`` of the keys, drawn by the number of the step."""
    return random.Random(step).sample(sorted(keys), min(count, len(keys)))  # noqa: S311 - not for secrets


def drawn_groups(keys: Collection[str], count: int, step: int, group_of: Callable[[str], str]) -> list[str]:
    """Return at most ``count`` of the keys, in whole groups as far as possible.

    They are drawn by the number of the step. Answers to one prompt are useful together; only the last group
    may be incomplete.
    """
    groups: dict[str, list[str]] = {}
    for key in sorted(keys):
        groups.setdefault(group_of(key), []).append(key)
    order = drawn(groups, len(groups), step)
    return [key for group in order for key in groups[group]][:count]


def event_metrics(
    rows: Sequence[ProblemRow], reader: RolloutReader, *, budget: int | None = None
) -> dict[str, float]:
    """Return the precision, recall and aim of the backtracks of some answers, judged state by state.

    Args:
        rows: The answers; those whose verifier does not judge prefixes are left out.
        reader: The reader of the ids.
        budget: Largest number of effective edits of an answer, None for any number.

    Returns:
        The metrics of :class:`halluc_plugin.metrics.EventSummary` and
        :class:`halluc_plugin.metrics.Discrimination` under ``backtrack/``, without those that have no
        observations, and ``backtrack/judged``, the number of answers behind them. The result is empty if that
        number is 0, or no token ends a step.
    """
    judged = _judge(rows, reader)
    if not judged:
        return {}
    summary = summarise_events(
        [trace for _, trace in judged], delimiters=reader.marks.delimiters, kappa=reader.kappa
    )
    told = discrimination([_places(*one, reader, budget) for one in judged])
    values = {**summary.as_metrics(), **told.as_metrics()}.items()
    found = {f"backtrack/{name}": value for name, value in values if not math.isnan(value)}
    return {**found, "backtrack/judged": float(len(judged))}


def rollout_discrimination(
    rows: Sequence[ProblemRow], reader: RolloutReader, *, budget: int | None = None
) -> Discrimination:
    """Return how well the policy tells dead from live texts in its own answers.

    The arguments are those of :func:`event_metrics`.
    """
    return discrimination([_places(*one, reader, budget) for one in _judge(rows, reader)])


def verdicts(rows: Sequence[ProblemRow], reader: RolloutReader) -> list[list[bool] | None]:
    """Return the verifier's verdict on the live text before each action, and on that at the end.

    Args:
        rows: The answers, of T actions each.
        reader: The reader of the ids.

    Returns:
        T + 1 verdicts for each answer, None for an answer whose prefixes nothing judges.
    """
    judged = [_judge([row], reader) for row in rows]
    return [found[0][1].verdicts() if found else None for found in judged]


def _judge(rows: Sequence[ProblemRow], reader: RolloutReader) -> list[tuple[ProblemRow, JudgedTrace]]:
    """The answers whose prefixes can be judged, where steps can be told apart."""
    if not reader.marks.delimiters:
        return []
    known, oracles = [], []
    for row in rows:
        if isinstance(row.verifier, PrefixVerifier):
            known.append(row)
            oracles.append(prefix_oracle(row.verifier, row.ground_truth, reader.decode, reader.marks.ends))
    return list(zip(known, judge_ids([row.ids for row in known], reader.vocab, oracles), strict=True))


def _places(row: ProblemRow, trace: JudgedTrace, reader: RolloutReader, budget: int | None) -> list[StepEnd]:
    return step_ends(trace, reader.marks.delimiters, masses=row.edit_masses, budget=budget)
