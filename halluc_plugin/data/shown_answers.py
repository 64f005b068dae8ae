"""Show a model answers to a problem behind its prompt, and teach it to read them.

Copies of a model that debate (:mod:`halluc_plugin.search.debating`) and universal self-consistency
(:mod:`halluc_plugin.scorers.consistency`) read answers in this layout.
"""

from collections.abc import Sequence

import numpy as np

from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.data.value_files import ValueRow
from halluc_plugin.errors import DataError


def shown(prompt: Sequence[int], answers: Sequence[Sequence[int]], request: Sequence[int]) -> tuple[int, ...]:
    """Return a prompt behind which answers stand, and what asks for another one.

    Args:
        prompt: Token ids of the problem's prompt.
        answers: Token ids of resolved answers, each with its end; without any the prompt is returned alone.
        request: Token ids that ask for another answer.
    """
    if not answers:
        return tuple(prompt)
    return (*prompt, *(token for answer in answers for token in answer), *request)


def reading_rows(
    rows: Sequence[ValueRow], request: Sequence[int], ends: frozenset[int], *, shown_at_most: int, most: int,
    seed: int,
) -> list[TraceRow]:  # fmt: skip
    """Return traces that teach a model to answer with answers of its own before it, and without.

    Of each problem that was answered right there are ``most`` traces behind shown answers, and one behind the
    bare prompt. The number of shown answers is drawn from 1 to ``shown_at_most``, and then they are. The
    answer that is learned is the first right one of those shown, else another right one.

    Args:
        rows: Judged answers; those of one source and problem belong together. Rows of turns and answers that
            do not end are left out.
        request: Token ids that ask for another answer.
        ends: Ids that end an answer.
        shown_at_most: Largest number of shown answers.
        most: Number of traces of a problem behind shown answers.
        seed: Seed of all draws.

    Raises:
        DataError: The request is empty, or no problem was answered right.
    """
    if not request:
        raise DataError("The request behind shown answers is empty.", "Give the text that asks for another.")
    problems: dict[tuple[str, tuple[int, ...]], list[ValueRow]] = {}
    for row in rows:
        if not row.turn_ids and row.step_ids[-1][-1] in ends:
            problems.setdefault((row.data_source, tuple(row.prompt_ids)), []).append(row)
    found: list[TraceRow] = []
    for number, of in enumerate(problems.values()):
        rng = np.random.default_rng([seed, 63, number])
        right = [row for row in of if row.correct]
        if not right:
            continue
        for _ in range(most):
            count = int(rng.integers(1, min(shown_at_most, len(of)) + 1))
            before = [of[at] for at in rng.permutation(len(of))[:count]]
            learned = next((row for row in before if row.correct), _drawn(right, rng))
            prompt = shown(learned.prompt_ids, [_ids(row) for row in before], request)
            found.append(TraceRow(list(prompt), _ids(learned)))
        found.append(TraceRow(list(of[0].prompt_ids), _ids(_drawn(right, rng))))
    if not found:
        raise DataError(
            "No problem has a right answer that ends, so there is none to learn.",
            "Sample more answers, or longer ones.",
        )
    return found


def _ids(row: ValueRow) -> list[int]:
    return [token for step in row.step_ids for token in step]


def _drawn(right: Sequence[ValueRow], rng: np.random.Generator) -> ValueRow:
    return right[int(rng.integers(len(right)))]
