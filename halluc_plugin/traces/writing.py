"""What all builders share: checked inputs, and the edits that delete exactly one error."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from halluc_plugin.edits import EditKind, EditVocab
from halluc_plugin.errors import EditVocabError, TraceError


@dataclass(frozen=True)
class RawTrace:
    """A raw trace: what a model would have sampled.

    Which tokens were erased, and when, is what :func:`halluc_plugin.edits.resolve` tells.

    Attributes:
        ids: Text and edit tokens in sampling order, without prompt and padding.
    """

    ids: tuple[int, ...]


def split_reference(
    reference: Sequence[int], vocab: EditVocab, eos_ids: Collection[int]
) -> tuple[list[int], list[int]]:
    """The reference without its final end-of-sequence token, and that token (or nothing).

    Raises:
        TraceError: The reference holds an edit token, or ends before its last token.
    """
    ids = list(reference)
    refuse_edits(ids, vocab, "reference")
    ending = ids[-1:] if ids and ids[-1] in eos_ids else []
    body = ids[: len(ids) - len(ending)]
    if any(token in eos_ids for token in body):
        raise TraceError(
            "The reference goes on after an end-of-sequence token.", "Cut the reference after its first one."
        )
    return body, ending


def cut_at_eos(sample: Sequence[int], eos_ids: Collection[int]) -> list[int]:
    """The sample before its first end-of-sequence token: nothing can be taken back after one."""
    ids = list(sample)
    return next((ids[:i] for i, token in enumerate(ids) if token in eos_ids), ids)


def refuse_edits(ids: Sequence[int], vocab: EditVocab, what: str) -> None:
    """Raise TraceError if ``ids`` hold an edit token."""
    found = vocab.edit_ids.intersection(ids)
    if found:
        raise TraceError(
            f"The {what} holds the edit token {min(found)}.", "Collapse it first: pass resolved ids only."
        )


def split_steps(ids: Sequence[int], vocab: EditVocab) -> list[tuple[int, ...]]:
    """Cut after each step delimiter."""
    steps, start = [], 0
    for end, token in enumerate(ids, start=1):
        if token in vocab.step_delimiters or end == len(ids):
            steps.append(tuple(ids[start:end]))
            start = end
    return steps


def deletion(error: Sequence[int], edit: EditKind, vocab: EditVocab) -> list[int]:
    """The edit tokens that take back ``error``, just written.

    Args:
        error: Text ids. For ``STEP`` it must have been written at the start of a step.
        edit: ``BACKTRACK`` gives one for each token, ``STEP`` one for each step. ``RESTART`` gives one, and
            takes back all that stood before the error, too.
        vocab: Which ids edit.

    Raises:
        EditVocabError: The vocabulary lacks that edit token.
    """
    if edit is EditKind.BACKTRACK:
        return [vocab.backtrack] * len(error)
    token = vocab.roles.get(edit.name.lower())
    if token is None:
        raise EditVocabError(
            f"No token for {edit.name} in {vocab.roles}.",
            "Add it to the EditVocab, or delete with EditKind.BACKTRACK.",
        )
    return [token] * (len(split_steps(error, vocab)) if edit is EditKind.STEP else 1)
