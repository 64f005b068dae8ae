"""Many answers of the clean model: majority, best of n with the free check of the goal, distinct starts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from halluc_plugin.edits import resolve_rows
from halluc_plugin.metrics import soft_flops
from halluc_plugin.problem_sets.steps import Problem
from halluc_plugin.recipes.when_it_pays.answering import answer
from halluc_plugin.recipes.when_it_pays.asked import Asked
from halluc_plugin.recipes.when_it_pays.specs import Spec
from halluc_plugin.sampling.networks import decoder_shape
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.tasks.word.automaton import puzzle_of
from halluc_plugin.tokens import vocab_of

Pick = Callable[[Sequence[str], str], int]
"""Picks one of several answers to a problem, by their texts and the goal."""


def reaches(text: str, goal: str) -> bool:
    """Return whether the goal stands behind a path that ends in it: to see this takes no oracle."""
    return text.rstrip("\n").endswith(goal * 2)


def best_of(texts: Sequence[str], goal: str) -> int:
    """Return the number of the first answer that reaches the goal, of the first answer if none does."""
    return next((number for number, text in enumerate(texts) if reaches(text, goal)), 0)


def majority(texts: Sequence[str], goal: str) -> int:  # noqa: ARG001 - as every rule
    """Return the number of the first of the answers that occur most often."""
    return max(range(len(texts)), key=lambda number: (texts.count(texts[number]), -number))


RULES: dict[str, Pick] = {"majority": majority, "best of n": best_of}
"""Name -> rule."""
TRIES = "tries with the check"
"""Answers one after the other, until one reaches the goal: best of n that samples no more than it needs."""


def parallel_cells(model: Any, spec: Spec, asked: Asked, samples: int) -> dict[str, dict[str, Any]]:
    """Return for each rule and each power of two of answers what it comes to.

    Args:
        model: A clean model of word problems.
        spec: Its description.
        asked: The problems.
        samples: Largest number of answers to a problem.

    Returns:
        For ``RULE, n=N`` and :data:`TRIES` the keys ``correct``, ``tokens``, ``flops`` and ``peak`` of
        :func:`halluc_plugin.recipes.when_it_pays.answering.measured`; a shared prompt is computed once.
    """
    drawn = answer(model, spec, asked, copies=samples)
    each = [drawn.traces[first : first + samples] for first in range(0, len(drawn.traces), samples)]
    right = [drawn.right[first : first + samples] for first in range(0, len(drawn.right), samples)]
    counts = [2**power for power in range(samples.bit_length()) if 2**power <= samples]
    found = {
        f"{name}, n={count}": _picked(model, asked, [row[:count] for row in each], right, pick)
        for name, pick in RULES.items()
        for count in counts
    }
    needed = [_needed(rows, problem, asked) for rows, problem in zip(each, asked.posed, strict=True)]
    for count in counts:
        tried = [rows[: min(most, count)] for rows, most in zip(each, needed, strict=True)]
        found[f"{TRIES}, n={count}"] = _picked(model, asked, tried, right, best_of)
    return found


def _needed(rows: Sequence[Sequence[int]], problem: PosedProblem, asked: Asked) -> int:
    """How many answers there are up to the first that reaches the goal; all, if none does."""
    goal = puzzle_of(problem.truth).goal
    texts = (asked.tokenizer.decode(row, skip_special_tokens=True) for row in rows)
    return next((number for number, text in enumerate(texts, 1) if reaches(text, goal)), len(rows))


def distinct_starts(model: Any, spec: Spec, asked: Asked) -> dict[str, Any]:
    """Return what an answer from each start comes to, of which the first that reaches the goal is taken."""
    starts = [puzzle_of(problem.truth).starts for problem in asked.problems]
    begun = [
        Problem(problem.prompt + start, problem.truth, problem.steps, problem.topic)
        for problem, each in zip(asked.problems, starts, strict=True)
        for start in each
    ]
    drawn = answer(model, spec, replace(asked, problems=begun))
    tokenizer, traces, right = asked.tokenizer, list[list[list[int]]](), list[list[bool]]()
    first = 0
    for problem, each in zip(asked.posed, starts, strict=True):
        ids = [tokenizer.encode(start, add_special_tokens=False) for start in each]
        rows = [
            [*start, *trace]
            for start, trace in zip(ids, drawn.traces[first : first + len(each)], strict=True)
        ]
        texts = [tokenizer.decode(row, skip_special_tokens=True) for row in rows]
        traces.append(rows)
        right.append([asked.right(problem, text) for text in texts])
        first += len(each)
    return _picked(model, asked, traces, right, best_of)


def _picked(
    model: Any,
    asked: Asked,
    traces: Sequence[Sequence[Sequence[int]]],
    right: Sequence[Sequence[bool]],
    pick: Pick,
) -> dict[str, Any]:
    correct, tokens, flops, peak = [], 0, 0, 0
    shape, vocab = decoder_shape(model.config), vocab_of(asked.tokenizer)
    for problem, rows, judged in zip(asked.posed, traces, right, strict=True):
        texts = [asked.tokenizer.decode(row, skip_special_tokens=True) for row in rows]
        correct.append(int(judged[pick(texts, puzzle_of(problem.truth).goal)]))
        tokens += sum(map(len, rows))
        prompt = len(problem.prompt)
        again = shape.flops(prompt, prompt * (prompt + 1) // 2) * (len(rows) - 1)
        flops += sum(soft_flops(resolve_rows(rows, vocab), [prompt] * len(rows), shape)) - again
        peak = max(peak, prompt + sum(map(len, rows)))
    count = len(correct)
    return {"correct": correct, "tokens": tokens / count, "flops": flops / count, "peak": peak}
