"""The courses of arms whose problems are chosen by a plan: by difficulty, or from states near the goal."""

from pathlib import Path
from typing import Any

from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.errors import DataError
from halluc_plugin.recipes.credit.arms import Arm, Plan
from halluc_plugin.recipes.credit.tasks import Task, clean_traces, problem_files
from halluc_plugin.recipes.lab.keeping import kept_cell
from halluc_plugin.recipes.self_backtracking.answering import load, sampled
from halluc_plugin.recipes.self_backtracking.bench import Bench
from halluc_plugin.rl.courses import ByDifficulty, Course, Reverse

TRIES = 4
"""Answers of the start to each problem, by which its difficulty is known."""


def course_of(bench: Bench, task: Task, arm: Arm, start: Path) -> Course | None:
    """Return the course of an arm, None if its problems come in any order.

    Args:
        bench: The bench of a seed.
        task: The task.
        arm: The arm.
        start: Folder of the model that it begins with, whose answers tell what is difficult.

    Raises:
        DataError: A training problem has no right trace to begin with.
    """
    if arm.plan is None:
        return None
    if arm.plan is Plan.REVERSE:
        return Reverse(_right_steps(bench, task), bench.tokenizer.decode)
    path = bench.folder / "difficulty" / f"{task}-{start.name}.json"
    told = kept_cell(path, lambda: _difficulty(bench, task, arm, start))
    return ByDifficulty(tuple(told["wrong"]), hardest_first=arm.plan is Plan.HARDEST)


def _difficulty(bench: Bench, task: Task, arm: Arm, start: Path) -> dict[str, Any]:
    problems = bench.asked(problem_files(bench, task)[0])
    answered = sampled(bench, load(start), problems, temperature=1.0, copies=TRIES, context=arm.start.context)
    return {"wrong": [1 - sum(each.correct) / TRIES for each in answered]}


def _right_steps(bench: Bench, task: Task) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """The steps of a right answer to each training problem, without its end."""
    space = bench.space(temperature=1.0)
    known = {}
    for row in read_traces(clean_traces(bench, task), bench.tokenizer):
        text = [token for token in row.response_ids if token not in space.eos_ids]
        known[tuple(row.prompt_ids)] = tuple(space.steps(text))
    problems = bench.asked(problem_files(bench, task)[0])
    for problem in problems:
        if problem.prompt not in known:
            raise DataError(
                f"A training problem of {task} has no right trace.", "Delete the data of OUT, and start anew."
            )
    return tuple(known[problem.prompt] for problem in problems)
