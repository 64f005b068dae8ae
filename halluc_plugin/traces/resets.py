"""Write the traces and pairs by which a model learns to reset.

They are those of Y. Zhang et al., "Backtracking Improves Generation Safety" (arXiv 2409.14586). With x the
prompt, y⁺ an answer that may stand and y⁻ one that may not, its section on training has

    fine-tuning     -log p([RESET] y⁺ | x, prefix(y⁻)) - log p(y⁺ | x)
    preferences     prefix(y⁻) [RESET] y⁺  over  y⁻
                    y⁺  over  prefix(y⁺) [RESET] y⁻

The prefix is out of the loss where erased tokens are (:class:`halluc_plugin.edits.builders.ErasedTokens`,
``mask``), and both sides of a pair share it, so that it is not compared either. Where nothing harmful is
known of a prompt, a reset is as needless before the same answer: y⁺ over prefix(y⁺) [RESET] y⁺, ours.

:func:`halluc_plugin.traces.restart` takes back whole attempts that have failed, and refuses others.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from halluc_plugin.edits import EditKind, EditVocab
from halluc_plugin.errors import TraceError
from halluc_plugin.traces.writing import RawTrace, cut_at_eos, deletion, refuse_edits


class ResetPair(NamedTuple):
    """Two raw traces of one prompt.

    Attributes:
        chosen: The one that is preferred.
        rejected: The other one.
    """

    chosen: RawTrace
    rejected: RawTrace


def reset(
    written: Sequence[int],
    length: int,
    answer: Sequence[int],
    vocab: EditVocab,
    *,
    eos_ids: Collection[int],
) -> RawTrace:
    """Return the beginning of one answer, a restart, and another answer.

    Args:
        written: Token ids of the answer that is begun; cut before its end-of-sequence token.
        length: Number of its tokens that are written before the restart.
        answer: Token ids of the answer that stands, with its end-of-sequence token.
        vocab: The edit vocabulary of the ids; it must have a restart token.
        eos_ids: Ids that end a response.

    Raises:
        TraceError: An answer holds an edit token, or has fewer than ``length`` tokens, or the length is
            below 1.
        EditVocabError: The vocabulary has no restart token.
    """
    begun = cut_at_eos(written, eos_ids)
    if not 1 <= length <= len(begun):
        raise TraceError(
            f"{length} tokens of an answer of {len(begun)} are to be written and taken back.",
            "Give at least 1 and at most all.",
        )
    for ids in (begun, answer):
        refuse_edits(ids, vocab, "answer")
    prefix = begun[:length]
    return RawTrace((*prefix, *deletion(prefix, EditKind.RESTART, vocab), *answer))


def wanted_reset(
    safe: Sequence[int],
    harmful: Sequence[int],
    length: int,
    vocab: EditVocab,
    *,
    eos_ids: Collection[int],
) -> ResetPair:
    """Return the pair by which a harmful answer is reset: prefix(y⁻) [RESET] y⁺ over y⁻.

    Args:
        safe: Token ids of y⁺, EOS included.
        harmful: Token ids of y⁻, EOS included.
        length: Number of tokens of the prefix.
        vocab: The edit vocabulary of the ids.
        eos_ids: Ids that end a response.

    Raises:
        TraceError: The answers are refused by :func:`reset`.
        EditVocabError: The vocabulary has no restart token.
    """
    return ResetPair(reset(harmful, length, safe, vocab, eos_ids=eos_ids), RawTrace(tuple(harmful)))


def needless_reset(
    safe: Sequence[int],
    instead: Sequence[int],
    length: int,
    vocab: EditVocab,
    *,
    eos_ids: Collection[int],
) -> ResetPair:
    """Return the pair by which an answer is left alone: y⁺ over prefix(y⁺) [RESET] ``instead``.

    Args:
        safe: Token ids of y⁺, EOS included.
        instead: Token ids of the answer behind the reset, EOS included.
        length: Number of tokens of the prefix.
        vocab: The edit vocabulary of the ids.
        eos_ids: Ids that end a response.

    Raises:
        TraceError: The answers are refused by :func:`reset`.
        EditVocabError: The vocabulary has no restart token.
    """
    return ResetPair(RawTrace(tuple(safe)), reset(safe, length, instead, vocab, eos_ids=eos_ids))
