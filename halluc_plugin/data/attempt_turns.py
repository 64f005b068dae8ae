"""Make traces of two attempts from a model's judged answers: a first one, a request, a right second one.

They are what a model is taught both turns by, before SCoRe (arXiv 2409.12917) trains them. A first attempt is
a wrong answer, or a right one that is given again; the paper calls fine-tuning on the former alone Pair-SFT,
and on both STaR with right-to-right pairs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from halluc_plugin.data.rows import extra_info
from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.data.value_files import ValueRow
from halluc_plugin.errors import DataError


def attempt_rows(
    rows: Sequence[ValueRow], request: Sequence[int], ends: frozenset[int], *, most: int, seed: int
) -> list[TraceRow]:
    """Return traces of two attempts at each problem that was answered right.

    A wrong first attempt and the request count as erased, so that fine-tuning leaves them out of the loss; a
    right first attempt is learned, too. Wrong and right first attempts take turns while there are both.

    Args:
        rows: Answers with values; those of one source and problem belong together. Rows of turns and answers
            that do not end are left out.
        request: Token ids between the attempts, behind the end of the first one.
        ends: Ids that end an answer.
        most: Largest number of traces of a problem.
        seed: Seed of which answers are taken.

    Raises:
        DataError: The request is empty, or no problem was answered right.
    """
    if not request:
        raise DataError("The request between two attempts is empty.", "Give the text that asks for another.")
    problems: dict[tuple[str, tuple[int, ...]], list[ValueRow]] = {}
    for row in rows:
        if not row.turn_ids and row.step_ids[-1][-1] in ends:
            problems.setdefault((row.data_source, tuple(row.prompt_ids)), []).append(row)
    found = []
    for number, of in enumerate(problems.values()):
        rng = np.random.default_rng([seed, 51, number])
        right = [row for row in of if row.correct]
        if right:
            found += [_trace(first, _drawn(right, rng), request) for first in _firsts(of, most, rng)]
    if not found:
        raise DataError(
            "No problem has a right answer that ends, so there is no second attempt to learn.",
            "Sample more answers, or longer ones: `halluc data values --samples N --max-tokens N`.",
        )
    return found


def question_rows(
    problems: Sequence[Mapping[str, Any]],
    prompts: Sequence[Sequence[int]],
    rows: Sequence[ValueRow],
    *,
    request: Sequence[int],
    ends: frozenset[int],
    tokenizer: Any,
) -> list[dict[str, Any]]:
    """Return problems as rows that ask for a second attempt: the problem, its first answer, and the request.

    A row's prompt is one message with all of that as text, special tokens of the chat template included, to
    be asked without a template. ``extra_info.first_correct`` says whether the first answer is right. Problems
    without an answer that ends are left out.

    Args:
        problems: Rows of verl.
        prompts: Token ids of their prompts.
        rows: Answers with values, of which the first to each problem is taken.
        request: Token ids between the attempts, behind the end of the first one.
        ends: Ids that end an answer.
        tokenizer: The tokenizer of the ids.

    Raises:
        DataError: No problem has an answer, or the text of one has other ids.
    """
    firsts: dict[tuple[int, ...], ValueRow] = {}
    for row in rows:
        if not row.turn_ids and row.step_ids[-1][-1] in ends:
            firsts.setdefault(tuple(row.prompt_ids), row)
    asked = []
    for problem, prompt in zip(problems, prompts, strict=True):
        first = firsts.get(tuple(prompt))
        if first is None:
            continue
        ids = [*prompt, *(token for step in first.step_ids for token in step), *request]
        text = tokenizer.decode(ids)
        if tokenizer.encode(text, add_special_tokens=False) != ids:
            raise DataError(
                "A first attempt has other ids once it is written as text: lm-eval would ask something else.",
                "Evaluate both turns with verl's validation (recipe refinement) instead.",
            )
        told = {**extra_info(problem), "first_correct": first.correct}
        asked.append({**problem, "prompt": [{"role": "user", "content": text}], "extra_info": told})
    if not asked:
        raise DataError(
            "None of the problems has an answer in the value file.",
            "Write it of these problems: `halluc data values --data PROBLEMS`.",
        )
    return asked


def _firsts(of: Sequence[ValueRow], most: int, rng: np.random.Generator) -> list[ValueRow]:
    """First attempts of a problem, wrong and right ones in turn, wrong ones first."""
    shuffled = [of[number] for number in rng.permutation(len(of))]
    kinds = [[row for row in shuffled if row.correct is right] for right in (False, True)]
    placed = [(place, kind, row) for kind, rows in enumerate(kinds) for place, row in enumerate(rows)]
    return [row for _, _, row in sorted(placed, key=lambda each: each[:2])][:most]


def _drawn(right: Sequence[ValueRow], rng: np.random.Generator) -> ValueRow:
    return right[int(rng.integers(len(right)))]


def _trace(first: ValueRow, second: ValueRow, request: Sequence[int]) -> TraceRow:
    attempts = [[token for step in row.step_ids for token in step] for row in (first, second)]
    if first.correct:
        attempts[1] = attempts[0]  # what is right is given again
    erased = [not first.correct] * len(attempts[0]) + [True] * len(request) + [False] * len(attempts[1])
    return TraceRow(list(first.prompt_ids), [*attempts[0], *request, *attempts[1]], erased)
