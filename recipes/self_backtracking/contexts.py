"""Find places at which a model should, or should not, take something back."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from halluc_plugin.edits import events, resolve_row
from halluc_plugin.probes import edit_emission
from halluc_plugin.problem_sets.files import Writer
from halluc_plugin.problem_sets.raw_traces import Edit
from halluc_plugin.recipes.lab.judging import first_bad_step
from halluc_plugin.recipes.self_backtracking.answering import decoded
from halluc_plugin.recipes.self_backtracking.bench import Bench
from halluc_plugin.sampling.problems import PosedProblem

Context = tuple[int, ...]


@dataclass
class Places:
    """Contexts at the ends of steps.

    Attributes:
        wrong: Contexts in which something has just gone wrong, by the kind of error.
        right: Contexts in which nothing is wrong.
    """

    wrong: dict[str, list[Context]] = field(default_factory=dict)
    right: list[Context] = field(default_factory=list)

    def add_wrong(self, kind: str, context: Context) -> None:
        """Add a place at which something has gone wrong."""
        self.wrong.setdefault(kind, []).append(context)


def held_out(
    bench: Bench, drawn: Iterable[Any], prompts: Sequence[Context], writer: Writer[Any], edit: Edit
) -> Places:
    """Return the errors of a writer in answers to problems, and every step of their clean answers.

    Args:
        bench: The experiment.
        drawn: Problems as the writer knows them.
        prompts: Prompts as a model is given them.
        writer: Writer whose traces end where a trace ends that corrects itself, or at the backtrack.
        edit: The edit that deletes errors. For steps, places are after a delimiter, for tokens before it; so
            are right places.
    """
    places, rng = Places(), np.random.default_rng([bench.seed, 11])
    delimiters = bench.space(temperature=1.0).delimiters
    for problem, prompt in zip(drawn, prompts, strict=True):
        trace = writer.backtracking(problem, rng)
        if trace is not None:
            first = events(resolve_row(trace.ids, bench.vocab))[0]
            places.add_wrong(str(trace.kinds[0]), (*prompt, *trace.ids[: first.start]))
        answer = writer.clean(problem)
        ends = [index for index, token in enumerate(answer, 1) if token in delimiters]
        places.right += [(*prompt, *answer[: end - _before(edit)]) for end in ends]
    return places


def _before(edit: Edit) -> int:
    """How many tokens before the end of a step an edit is due."""
    return 0 if edit is Edit.STEP else 1


def first_errors(
    bench: Bench, drawn: Iterable[Any], prompts: Sequence[Context], writer: Writer[Any], seed: int
) -> Iterator[tuple[Context, Context]]:
    """Yield context and ids of the first error of each trace, on which negative learning is measured."""
    rng = np.random.default_rng([seed, 12])
    for problem, prompt in zip(drawn, prompts, strict=True):
        trace = writer.backtracking(problem, rng)
        if trace is not None:
            erased = events(resolve_row(trace.ids, bench.vocab))[0].erased
            yield (*prompt, *trace.ids[: erased[0]]), tuple(trace.ids[i] for i in erased)


def own(bench: Bench, model: Any, problems: Sequence[PosedProblem], edit: Edit) -> Places:
    """Return the steps of the model's own answers up to the first bad one, at temperature 1 without edits."""
    places = Places()
    delimiters = bench.space(temperature=1.0).delimiters
    answers = decoded(bench, model, problems, temperature=1.0, edits_banned=True)
    for problem, ids in zip(problems, answers, strict=True):
        bad = first_bad_step(ids, problem, bench.tokenizer, delimiters)
        ends = [index for index, token in enumerate(ids, 1) if token in delimiters]
        right = ends if bad is None else [end for end in ends if end < bad]
        places.right += [(*problem.prompt, *ids[: end - _before(edit)]) for end in right]
        if bad is not None:
            places.add_wrong("own", (*problem.prompt, *ids[: bad - _before(edit)]))
    return places


def emitted(bench: Bench, model: Any, places: Places) -> dict[str, Any]:
    """Return rate and mean probability of an edit at each kind of place."""
    cells = {}
    for kind, contexts in {**places.wrong, "right": places.right}.items():
        emission = edit_emission(model, contexts, bench.vocab)
        cells[kind] = {
            "places": len(contexts),
            "emitted": sum(emission.likeliest),
            "probability": emission.mean_probability,
        }
    return cells
