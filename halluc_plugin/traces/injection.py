"""Errors invented and written into a reference: random tokens, or what a task finds plausible."""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from halluc_plugin.edits import EditKind, EditVocab
from halluc_plugin.errors import TraceError
from halluc_plugin.traces.writing import RawTrace, cut_at_eos, deletion, refuse_edits, split_reference

Propose = Callable[[int], Sequence[int] | None]
"""``propose(position)``: an erroneous span to write where the reference has its token ``position``, or None.

``position`` runs over the reference before its end-of-sequence token, and one further: an error at the tail.
``{3: (17, 21)}.get`` is such a function.
"""


def inject(
    reference: Sequence[int],
    propose: Propose,
    vocab: EditVocab,
    *,
    eos_ids: Collection[int],
    edit: EditKind = EditKind.BACKTRACK,
    repeat: bool = False,
) -> RawTrace:
    """Write the reference, with errors taken back at once and in full.

    Args:
        reference: Text ids, with or without a final end-of-sequence token.
        propose: Asked once for each position, in order. It is responsible for spans that are wrong from
            their first token on: what it returns is deleted whole.
        vocab: Which ids edit.
        eos_ids: Ids that end a response. None can be an error: nothing is written after one.
        edit: How errors are deleted. ``BACKTRACK``: one for each token. ``STEP``: one for each step; only the
            starts of steps are then offered to ``propose``. ``RESTART``: one for the whole response, after
            which the reference is written again from its start.
        repeat: Ask again at a position after each error there, until None: one place may go wrong several
            times in a row.

    Returns:
        A trace that collapses to the reference.

    Raises:
        TraceError: The reference or an error holds an edit token, EOS stands elsewhere than at the end of
            the reference, or an error is empty or what the reference says.
        EditVocabError: The vocabulary lacks the token for ``edit``.
    """
    body, ending = split_reference(reference, vocab, eos_ids)
    ids: list[int] = []
    for position in range(len(body) + 1):
        inside_step = position > 0 and body[position - 1] not in vocab.step_delimiters
        error = None if edit is EditKind.STEP and inside_step else propose(position)
        while error is not None:
            _check_error(error, body[position:], vocab, eos_ids)
            ids += [*error, *deletion(error, edit, vocab)]
            if edit is EditKind.RESTART:
                ids += body[:position]
            error = propose(position) if repeat else None
        ids += body[position : position + 1]
    return RawTrace(tuple(ids + ending))


def _check_error(
    error: Sequence[int], expected: list[int], vocab: EditVocab, eos_ids: Collection[int]
) -> None:
    refuse_edits(error, vocab, "error")
    if any(token in eos_ids for token in error):
        raise TraceError(
            "An error holds an end-of-sequence token, which no edit can follow.", "Cut errors before it."
        )
    if not error or list(error) == expected[: len(error)]:
        raise TraceError(
            f"The span {list(error)} is no error: the reference goes on with {expected[:8]}.",
            "Return None where there is no error.",
        )


def random_spans(
    reference: Sequence[int],
    vocab: EditVocab,
    *,
    eos_ids: Collection[int],
    pool: Sequence[int],
    rate: float,
    lengths: Mapping[int, float],
    rng: np.random.Generator,
) -> Propose:
    """Random tokens as errors: the "stochastic injection" of N-MARS, noise with deletion in SequenceMatch.

    Deviation 1: the first token of a span is never the one the reference has there, so that no right token
    is taken back.

    Args:
        reference: The ids that the spans will be injected into.
        vocab: Which ids edit; they are never drawn.
        eos_ids: Ids that end a response; they are never drawn.
        pool: Ids to draw from, uniformly; repeat one to draw it more often.
        rate: Probability of an error at each position.
        lengths: Relative weight of each span length, such as ``{1: 0.5, 3: 0.5}``.
        rng: Source of randomness.

    Returns:
        A function for :func:`inject`. It draws as it is asked, so ask once, in order, for a seed to
        determine the trace.

    Raises:
        TraceError: ``rate`` is outside [0, 1], a length is below 1 or no weight is positive, or the pool has
            fewer than two ids left.
    """
    drawn = np.array([i for i in pool if i not in vocab.edit_ids and i not in eos_ids], dtype=np.int64)
    if len(np.unique(drawn)) < 2:
        raise TraceError(
            f"{len(np.unique(drawn))} ids in the pool besides edit and end-of-sequence tokens.",
            "Pass at least two.",
        )
    if not 0 <= rate <= 1:
        raise TraceError(f"The error rate is {rate}.", "Pass a probability for each position.")
    weights = np.array(list(lengths.values()), dtype=np.float64)
    if min(lengths, default=0) < 1 or (weights < 0).any() or not weights.sum() > 0:
        raise TraceError(
            f"Span lengths {dict(lengths)}.", "Pass lengths >= 1 with weights >= 0, not all zero."
        )
    sizes, chances = np.array(list(lengths)), weights / weights.sum()

    def propose(position: int) -> list[int] | None:
        if rng.random() >= rate:
            return None
        span = rng.choice(drawn, size=rng.choice(sizes, p=chances))
        if position < len(reference):
            span[0] = rng.choice(drawn[drawn != reference[position]])
        return [int(token) for token in span]

    return propose


def restart(
    reference: Sequence[int], attempt: Sequence[int], vocab: EditVocab, *, eos_ids: Collection[int]
) -> RawTrace:
    """A failed attempt, a restart, and the reference: the data of [RESET] (arXiv 2409.14586).

    Args:
        reference: Text ids, with or without a final end-of-sequence token.
        attempt: Text ids of the failed attempt; cut before its end-of-sequence token.
        vocab: Which ids edit; must have a restart token.
        eos_ids: Ids that end a response.

    Raises:
        TraceError: As :func:`inject`; an attempt that the reference begins with has not failed.
        EditVocabError: The vocabulary has no restart token.
    """
    attempts = {0: cut_at_eos(attempt, eos_ids)}
    return inject(reference, attempts.get, vocab, eos_ids=eos_ids, edit=EditKind.RESTART)
