"""Take errors from a sample of the model itself, by aligning it with a reference.

This is N-MARS's "sequence alignment augmentation". Deviation 1: a longest common subsequence (Myers) instead
of difflib's matching blocks. Deviation 2: in a repeat the later token is the error, so that an error never
begins with the token the reference has there.

Text that does not match is called an error, but need not be wrong: a sample may say the same in other words.
"""

from collections.abc import Collection, Sequence

from halluc_plugin.edits import EditKind, EditVocab
from halluc_plugin.traces.myers import unmatched_blocks
from halluc_plugin.traces.writing import (
    RawTrace,
    cut_at_eos,
    deletion,
    refuse_edits,
    split_reference,
    split_steps,
)


def align_tokens(
    reference: Sequence[int], sample: Sequence[int], vocab: EditVocab, *, eos_ids: Collection[int]
) -> RawTrace:
    """Follow the sample, take back what does not match token by token, and write the reference instead.

    Args:
        reference: Token ids of text, with or without a final end-of-sequence token.
        sample: Token ids of text that the model wrote for the same prompt. It is cut before its
            end-of-sequence token, because a wrong one cannot be taken back; what it has beyond the reference
            is an error at the tail.
        vocab: The edit vocabulary of the ids.
        eos_ids: Ids that end a response.

    Returns:
        A trace that collapses to the reference. It has no edits if the sample only left something out.

    Raises:
        TraceError: The reference or the sample holds an edit token (collapse it first), or the reference goes
            on after its end-of-sequence token.
    """
    body, ending = split_reference(reference, vocab, eos_ids)
    wrote = _sampled(sample, vocab, eos_ids)
    return _align([(i,) for i in body], [(i,) for i in wrote], ending, EditKind.BACKTRACK, vocab)


def align_steps(
    reference: Sequence[int], sample: Sequence[int], vocab: EditVocab, *, eos_ids: Collection[int]
) -> RawTrace:
    """Align by whole steps: each wrong step is finished, and then taken back by one edit.

    Arguments and result are those of :func:`align_tokens`.

    Raises:
        TraceError: The ids are refused by :func:`align_tokens`.
        EditVocabError: The vocabulary has no step backtrack token.
    """
    body, ending = split_reference(reference, vocab, eos_ids)
    wrote = _sampled(sample, vocab, eos_ids)
    return _align(split_steps(body, vocab), split_steps(wrote, vocab), ending, EditKind.STEP, vocab)


def _sampled(sample: Sequence[int], vocab: EditVocab, eos_ids: Collection[int]) -> list[int]:
    refuse_edits(sample, vocab, "sample")
    return cut_at_eos(sample, eos_ids)


def _align(
    reference: list[tuple[int, ...]],
    sample: list[tuple[int, ...]],
    ending: list[int],
    edit: EditKind,
    vocab: EditVocab,
) -> RawTrace:
    """Both sides as units, which match whole: tokens or steps."""
    ids: list[int] = []
    done = 0
    for block in unmatched_blocks(sample, reference):
        error = _join(sample[block.sample_start : block.sample_end])
        ids += _join(reference[done : block.reference_start])
        ids += [*error, *(deletion(error, edit, vocab) if error else ())]
        ids += _join(reference[block.reference_start : block.reference_end])
        done = block.reference_end
    return RawTrace((*ids, *_join(reference[done:]), *ending))


def _join(units: list[tuple[int, ...]]) -> list[int]:
    return [token for unit in units for token in unit]
