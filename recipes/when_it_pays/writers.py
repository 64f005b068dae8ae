"""Write the traces of each form of answer, in the ids of one tokenizer."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from halluc_plugin.data.trace_files import TraceRow, write_traces
from halluc_plugin.edits import collapse
from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.raw_traces import BacktrackTrace
from halluc_plugin.problem_sets.search_traces import SearchTraceWriter
from halluc_plugin.problem_sets.steps import Problem
from halluc_plugin.recipes.when_it_pays.specs import Form, Spec
from halluc_plugin.tasks.word.automaton import puzzle_of
from halluc_plugin.tokens import vocab_of
from halluc_plugin.traces import MarkerTwin, marker_twin

MARK = "~"
"""The text that rejects a line, one token, which no problem has."""
Written = Callable[[Problem, np.random.Generator], MarkerTwin | tuple[int, ...]]


def write_form(path: Any, spec: Spec, problems: Sequence[Problem], tokenizer: Any) -> int:
    """Write a trace of each problem.

    Args:
        path: The file to write.
        spec: The model that learns from them.
        problems: The problems.
        tokenizer: The tokenizer of the ids, with a step backtrack token.

    Returns:
        The number of rows.

    Raises:
        SettingsError: The form is one of word problems without blanks, and these are others.
    """
    write = _writer(spec, tokenizer)
    seed = spec.problems.seed
    rows = (
        _row(tokenizer, problem, write(problem, np.random.default_rng([seed, 61, number])))
        for number, problem in enumerate(problems)
    )
    return write_traces(path, rows, tokenizer)


def mark_id(tokenizer: Any) -> int:
    """Return the id of the text that rejects a line."""
    (token,) = tokenizer.encode(MARK, add_special_tokens=False)
    return int(token)


def live_ids(ids: Sequence[int], spec: Spec, tokenizer: Any) -> list[int]:
    """Return what counts of an answer: edits applied, lines that a mark rejects left out, the last lines.

    Args:
        ids: All actions of the answer.
        spec: The model that wrote it.
        tokenizer: The tokenizer of the ids.
    """
    vocab = vocab_of(tokenizer)
    if spec.form is Form.TWIN:  # a mark deletes as an edit would: the edit semantics read it
        mark, step = mark_id(tokenizer), int(vocab.step or 0)
        return collapse([step if token == mark else token for token in ids], vocab)
    if spec.form in {Form.BACKWARD, Form.SCRATCHPAD}:
        return _last_line(ids, vocab.step_delimiters)
    return collapse(ids, vocab)


def _last_line(ids: Sequence[int], newlines: frozenset[int]) -> list[int]:
    """The ids behind the last newline but those at the end."""
    ends = [number for number, token in enumerate(ids, 1) if token in newlines]
    whole = list(ids[: ends[-1]] if ends else ids)
    return whole[ends[-2] if len(ends) > 1 else 0 :]


def _writer(spec: Spec, tokenizer: Any) -> Written:
    vocab = vocab_of(tokenizer)
    searching: SearchTraceWriter[Any] = SearchTraceWriter(
        tokenizer, vocab, spec.problems.search, spec.traces()
    )
    if spec.form.edits:
        return lambda problem, rng: searching.single(problem, rng).ids
    if spec.form is Form.STREAM:
        return lambda problem, rng: _in_words(searching.single(problem, rng))
    if spec.form is Form.TWIN:
        mark = (mark_id(tokenizer),)
        return lambda problem, rng: marker_twin(searching.single(problem, rng).ids, mark, vocab)
    if spec.form is Form.CLEAN:
        return lambda problem, _: searching.clean(problem)
    lines = _backward if spec.form is Form.BACKWARD else _scratchpad
    return lambda problem, _: (
        *tokenizer.encode("".join(lines(problem)), add_special_tokens=False),
        *searching.clean(problem),
    )


def _in_words(trace: BacktrackTrace) -> MarkerTwin:
    assert trace.erased is not None
    return MarkerTwin(trace.ids, trace.erased)


def _row(tokenizer: Any, problem: Problem, written: MarkerTwin | tuple[int, ...]) -> TraceRow:
    prompt = list(tokenizer.encode(problem.prompt, add_special_tokens=False))
    if isinstance(written, MarkerTwin):
        return TraceRow(prompt, list(written.ids), list(written.erased))
    return TraceRow(prompt, list(written))


def _backward(problem: Problem) -> list[str]:
    """The right path from the goal back: each state of it is found from the one that follows."""
    return [_single_path(problem)[::-1] + "\n"]


def _scratchpad(problem: Problem) -> list[str]:
    """The path from every start, in the order of the prompt."""
    _single_path(problem)
    puzzle = puzzle_of(problem.truth)
    return [puzzle.path(puzzle.word, start) + "\n" for start in puzzle.starts]


def _single_path(problem: Problem) -> str:
    """The right path, without the goal written behind it."""
    puzzle = puzzle_of(problem.truth)
    if len(problem.steps) != 1:
        raise SettingsError(
            "A backward chain or a scratchpad of starts, for words with blanks.", "Ask words without blanks."
        )
    return problem.steps[0][: len(puzzle.word) + 1]
