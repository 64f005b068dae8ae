"""Measure a model: right answers, errors by class, agreement with the strategies, and best-of-n by tokens."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from halluc_plugin.recipes.stream_of_search.bench import Bench
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.tasks.countdown.published import PublishedVerifier, verify_as_published
from halluc_plugin.tasks.countdown.streams.agreement import correctness_correlation, rating, state_alignment
from halluc_plugin.tasks.countdown.streams.files import AnswerFormat
from halluc_plugin.tasks.countdown.streams.lines import text_of
from halluc_plugin.tasks.countdown.streams.reading import End, Stream, StreamError, read_stream
from halluc_plugin.tasks.countdown.streams.strategies import STRATEGIES, search
from halluc_plugin.tasks.countdown.verifier import CountdownVerifier
from halluc_plugin.verifiers import Outcome

SEEN, NEW = "seen", "new"


def measured(bench: Bench, folder: Path, samples: int) -> dict[str, Any]:
    """Return the measurements of a model, JSON-able.

    Args:
        bench: The experiment.
        folder: The model.
        samples: Samples of each problem for best-of-n.
    """
    cell: dict[str, Any] = {}
    for kind, path in zip((SEEN, NEW), bench.data(AnswerFormat.STREAM).test, strict=True):
        problems = bench.problems(path)
        greedy = bench.answered(folder, problems, temperature=0.0)
        cell[kind] = {"greedy": _judged(bench, problems, greedy)}
        if kind == SEEN:
            sampled = bench.answered(folder, problems, temperature=1.0, copies=samples)
            cell[kind]["sampled"] = _judged(bench, problems, sampled[::samples])
            cell[kind]["budgets"] = {
                str(budget): {"correct": _within(bench, problems, sampled, samples, budget)}
                for budget in bench.scale.budgets
            }
            streams = [read_stream(p.truth, bench.text(i)) for p, i in zip(problems, greedy, strict=True)]
            cell["agreement"] = _agreement(bench, problems, streams, cell[kind]["greedy"]["correct"])
    return cell


def strategies(bench: Bench) -> dict[str, Any]:
    """Return which problems with seen targets each strategy solves within the tokens of an answer."""
    problems = bench.problems(bench.data(AnswerFormat.STREAM).test[0])
    return {
        name: {"correct": list(map(int, solved))} for name, (solved, _) in _searched(bench, problems).items()
    }


def _judged(
    bench: Bench, problems: Sequence[PosedProblem], answers: Sequence[Sequence[int]]
) -> dict[str, Any]:
    texts = [bench.text(ids) for ids in answers]
    streams = [read_stream(p.truth, text) for p, text in zip(problems, texts, strict=True)]
    correct = [int(bench.right(p, ids)) for p, ids in zip(problems, answers, strict=True)]
    errors = Counter[StreamError]()
    for stream in streams:
        errors.update(stream.errors)
    ratings = [
        rating(stream.explored, len(problem.truth["numbers"])) * right
        for problem, stream, right in zip(problems, streams, correct, strict=True)
    ]
    return {
        "correct": correct,
        "as_published": [_as_published(p, text) for p, text in zip(problems, texts, strict=True)],
        "ends": {str(end): sum(stream.end is end for stream in streams) / len(streams) for end in End},
        "errors": {str(kind): errors[kind] / len(streams) for kind in StreamError},
        "explored": sum(stream.explored for stream in streams) / len(streams),
        "rating": sum(ratings) / len(ratings),
        "tokens": sum(map(len, answers)) / len(answers),
    }


def _as_published(problem: PosedProblem, text: str) -> int:
    path = CountdownVerifier().canonical(text)
    outcome = verify_as_published(PublishedVerifier.STREAM_OF_SEARCH, problem.truth, path)
    return int(outcome is Outcome.CORRECT)


def _within(
    bench: Bench, problems: Sequence[PosedProblem], sampled: Sequence[list[int]], samples: int, budget: int
) -> list[int]:
    """Whether one of the samples that a budget of tokens pays for is right; a sample beyond it is cut."""
    found = []
    for number, problem in enumerate(problems):
        left, right = budget, False
        for ids in sampled[number * samples : (number + 1) * samples]:
            right = right or bench.right(problem, ids[:left])
            left -= len(ids)
            if right or left <= 0:
                break
        found.append(int(right))
    return found


def _searched(
    bench: Bench, problems: Sequence[PosedProblem]
) -> Mapping[str, tuple[list[bool], list[Stream]]]:
    """By strategy which problems are solved within the tokens of an answer, and the streams."""
    found = {}
    for strategy in STRATEGIES:
        rng = np.random.default_rng(bench.seed)
        texts = []
        for problem in problems:
            numbers, target = tuple(problem.truth["numbers"]), int(problem.truth["target"])
            lines = search(strategy, numbers, target, largest=bench.settings.largest_target, rng=rng)
            ids = bench.tokenizer.encode(text_of(lines), add_special_tokens=False)
            texts.append(bench.text(ids[: bench.scale.longest]))
        streams = [read_stream(p.truth, text) for p, text in zip(problems, texts, strict=True)]
        found[strategy.name] = ([stream.end is End.CLAIMED for stream in streams], streams)
    return found


def _agreement(
    bench: Bench, problems: Sequence[PosedProblem], streams: Sequence[Stream], correct: Sequence[int]
) -> dict[str, Any]:
    found = {}
    for name, (solved, theirs) in _searched(bench, problems).items():
        alike = [state_alignment(a.states, b.states) for a, b in zip(streams, theirs, strict=True)]
        together = correctness_correlation([bool(one) for one in correct], solved)
        found[name] = {"states": sum(alike) / len(alike), "correctness": together}
    return found
