"""Write synthetic errors into a reference: random tokens, or errors that are plausible for a task."""

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
        reference: Token ids of text, with or without a final end-of-sequence token.
        propose: Function that is asked once for each position, in order. It must return spans that are wrong
            from their first token on, as what it returns is deleted whole.
        vocab: The edit vocabulary of the ids.
        eos_ids: Ids that end a response. None of them can be an error, as nothing is written after one.
        edit: How errors are deleted. ``BACKTRACK`` writes one edit for each token. ``STEP`` writes one for
            each step; only the starts of steps are then offered to ``propose``. ``RESTART`` writes one for
            the whole response, after which the reference is written again from its start.
        repeat: Whether to ask again at a position after each error there, until the function returns None, so
            that one place may go wrong several times in a row.

    Returns:
        A trace that collapses to the reference.

    Raises:
        TraceError: The reference or an error holds an edit token, EOS occurs before the end of the reference,
            or an error is empty or equals the reference there.
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
    """Return a function that proposes random tokens as errors.

    This is the "stochastic injection" of N-MARS, and noise with deletion in SequenceMatch. Deviation 1: the
    first token of a span is never the one the reference has there, so that no right token is taken back.

    Args:
        reference: The ids that the spans will be injected into.
        vocab: The edit vocabulary of the ids; edit tokens are never drawn.
        eos_ids: Ids that end a response; they are never drawn.
        pool: Ids to draw from, uniformly; repeat one to draw it more often.
        rate: Probability of an error at each position.
        lengths: Relative weight of each span length, such as ``{1: 0.5, 3: 0.5}``.
        rng: Source of randomness.

    Returns:
        A function for :func:`inject`. It draws when it is asked, so a seed determines the trace only if it is
        asked once for each position, in order.

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
    """Return a failed attempt, a restart, and the reference: the data of [RESET] (arXiv 2409.14586).

    Args:
        reference: Token ids of text, with or without a final end-of-sequence token.
        attempt: Token ids of the failed attempt; cut before its end-of-sequence token.
        vocab: The edit vocabulary of the ids; it must have a restart token.
        eos_ids: Ids that end a response.

    Raises:
        TraceError: The ids are refused by :func:`inject`, or the reference begins with the attempt, which
            then has not failed.
        EditVocabError: The vocabulary has no restart token.
    """
    attempts = {0: cut_at_eos(attempt, eos_ids)}
    return inject(reference, attempts.get, vocab, eos_ids=eos_ids, edit=EditKind.RESTART)
