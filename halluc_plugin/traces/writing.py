"""The common parts of all builders: checked inputs, and the edits that delete exactly one error."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from halluc_plugin.edits import EditKind, EditVocab
from halluc_plugin.errors import EditVocabError, TraceError


@dataclass(frozen=True)
class RawTrace:
    """A raw trace: what a model would have sampled.

    :func:`halluc_plugin.edits.resolve` computes which tokens were erased, and when.

    Attributes:
        ids: Text and edit tokens in sampling order, without prompt and padding.
    """

    ids: tuple[int, ...]


def split_reference(
    reference: Sequence[int], vocab: EditVocab, eos_ids: Collection[int]
) -> tuple[list[int], list[int]]:
    """Return the reference without its final end-of-sequence token, and that token or nothing.

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
    """Return the sample before its first end-of-sequence token, after which nothing can be taken back."""
    ids = list(sample)
    return next((ids[:i] for i, token in enumerate(ids) if token in eos_ids), ids)


def refuse_edits(ids: Sequence[int], vocab: EditVocab, what: str) -> None:
    """Refuse ids that hold an edit token.

    Raises:
        TraceError: An id is an edit token.
    """
    found = vocab.edit_ids.intersection(ids)
    if found:
        raise TraceError(
            f"The {what} holds the edit token {min(found)}.", "Collapse it first: pass resolved ids only."
        )


def split_steps(ids: Sequence[int], vocab: EditVocab) -> list[tuple[int, ...]]:
    """Cut ids after each step delimiter."""
    steps, start = [], 0
    for end, token in enumerate(ids, start=1):
        if token in vocab.step_delimiters or end == len(ids):
            steps.append(tuple(ids[start:end]))
            start = end
    return steps


def deletion(error: Sequence[int], edit: EditKind, vocab: EditVocab) -> list[int]:
    """Return the edit tokens that take back an error that was just written.

    Args:
        error: Token ids of the error. For ``STEP`` it must have been written at the start of a step.
        edit: The kind of edit: ``BACKTRACK`` gives one for each token, ``STEP`` one for each step.
            ``RESTART`` gives one, which also takes back everything before the error.
        vocab: The edit vocabulary of the ids.

    Raises:
        EditVocabError: The vocabulary lacks the token for ``edit``.
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
