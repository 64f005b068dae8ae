"""Write the pairs by which a model learns to verify its finished answers, and then to correct them.

They are those of H. Lee et al., "ReVISE: Learning to Refine at Test-Time via Intrinsic Self-Verification"
(arXiv 2502.14565), with the restart token in the place of the paper's [refine]: it stands where an answer
would end, takes the whole attempt back, and another attempt follows. With y an attempt of the model, finished
but without its end, and y* a right answer, the pairs are (of the paper's released data, `make_dataset`)

    y is right      y [EOS]          over  y [refine]        both stages
    y is wrong      y [refine]       over  y [EOS]           first stage, to verify
                    y [refine] y*    over  y [EOS]           second stage, to correct

Both sides begin with y, so that a preference loss compares what follows it alone: the decision in the first
stage, the decision and the correction in the second one.

Deviation: y* is an answer with its end. The restart takes y back, where the paper's token leaves it: what is
left of a trace is its last attempt. In soft context the model sees the same as in the paper.
"""

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import NamedTuple

from halluc_plugin.edits import EditKind, EditVocab
from halluc_plugin.errors import TraceError
from halluc_plugin.traces.writing import RawTrace, cut_at_eos, deletion, refuse_edits


class Stage(StrEnum):
    """What the pairs of a wrong attempt teach."""

    VERIFY = "verify"
    """The decision alone: whether a finished attempt stands."""
    CORRECT = "correct"
    """The decision, and the attempt that follows."""


class RefinementPair(NamedTuple):
    """Two raw traces of one prompt.

    Attributes:
        chosen: The one that is preferred.
        rejected: The other one.
    """

    chosen: RawTrace
    rejected: RawTrace


def refinement_pair(
    attempt: Sequence[int],
    vocab: EditVocab,
    *,
    right: bool,
    eos: int,
    eos_ids: Collection[int],
    answer: Sequence[int] | None = None,
) -> RefinementPair:
    """Return the pair of an attempt.

    Args:
        attempt: Token ids of the attempt; cut before its end-of-sequence token.
        vocab: The edit vocabulary of the ids; it must have a restart token.
        right: Whether the attempt is right.
        eos: Id that is written where an attempt stands.
        eos_ids: Ids that end a response.
        answer: Token ids of a right answer with its end, for the stage that corrects; None for the stage that
            verifies. It is not used if the attempt is right.

    Raises:
        TraceError: The attempt is empty, it or the answer holds an edit token, or the answer does not end.
        EditVocabError: The vocabulary has no restart token.
    """
    written = cut_at_eos(attempt, eos_ids)
    refuse_edits(written, vocab, "attempt")
    if not written:
        raise TraceError("An attempt is empty, and a restart would take nothing back.", "Leave it out.")
    stands = RawTrace((*written, eos))
    refined = (*written, *deletion(written, EditKind.RESTART, vocab))
    if right:
        return RefinementPair(stands, RawTrace(refined))
    if answer is None:
        return RefinementPair(RawTrace(refined), stands)
    refuse_edits(answer, vocab, "answer")
    if not answer or answer[-1] not in eos_ids:
        raise TraceError("The answer behind a restart does not end.", "Give it with its end.")
    return RefinementPair(RawTrace((*refined, *answer)), stands)
