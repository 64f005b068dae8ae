"""The common parts of the raw traces of all generated tasks: where errors begin and how they are deleted."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from halluc_plugin.edits import EditKind, EditVocab

EDIT_HELP = "What deletes errors: an edit for each token, or step."
ENDING_HELP = "Where backtracking traces end: with the correction, or right behind the backtrack."

ATTEMPTS = 20
"""Number of draws of errors for one problem before it is left without a backtracking trace."""


class Edit(StrEnum):
    """The edit that deletes an error."""

    TOKEN = "token"  # noqa: S105 - a kind of edit
    """One backtrack for each token, from the first wrong one on."""
    STEP = "step"
    """One step backtrack for each line."""

    @property
    def kind(self) -> EditKind:
        """The kind of edit token that deletes."""
        return EditKind.STEP if self is Edit.STEP else EditKind.BACKTRACK


class Ending(StrEnum):
    """The place where a backtracking trace ends."""

    CORRECTION = "correction"
    """It ends with the whole answer and EOS."""
    BACKTRACK = "backtrack"
    """It ends right after the first error is deleted, as in the paper."""


@dataclass(frozen=True)
class BacktrackTrace:
    """A raw trace and the errors in it.

    Attributes:
        ids: All actions in order, EOS included if the trace has one.
        kinds: The kind of each error, in order.
        erased: For each id, whether words take it back; None if only edits take back.
    """

    ids: tuple[int, ...]
    kinds: tuple[StrEnum, ...]
    erased: tuple[bool, ...] | None = None


@dataclass(frozen=True)
class LocatedError:
    """An error in token ids.

    Attributes:
        position: Index of the reference token in whose place the error is written.
        ids: Token ids of the error.
        kind: The kind of the error.
    """

    position: int
    ids: tuple[int, ...]
    kind: StrEnum


def locate(
    encode: Callable[[str], list[int]],
    reference: Sequence[int],
    before: str,
    wrong: str,
    kind: StrEnum,
    *,
    edit: Edit,
) -> LocatedError:
    """Find where wrong text departs from the reference.

    Args:
        encode: Function that returns the tokenizer's ids of a text.
        reference: Token ids of the whole reference answer.
        before: Text of the reference before the error, a number of whole steps.
        wrong: Text that is written instead of the next step, with the blank or newline that ends it if it is
            a whole step.
        kind: The kind of the error.
        edit: The edit that will delete it. An error that is deleted by tokens begins at the first wrong one,
            one that is deleted by steps at the step.

    Returns:
        The error with its position.
    """
    if edit is Edit.STEP:
        position = len(encode(before))
        return LocatedError(position, tuple(encode(before + wrong)[position:]), kind)
    for text in (before + wrong.rstrip(" \n"), before + wrong):
        ids = encode(text)
        position = _common_length(ids, reference)
        if position < len(ids):
            return LocatedError(position, tuple(ids[position:]), kind)
        # The wrong step is the beginning of the right one: only its end differs.
    raise AssertionError("a wrong step differs from the right one")


def write_trace(
    reference: Sequence[int],
    errors: Sequence[LocatedError],
    vocab: EditVocab,
    *,
    eos: int,
    edit: Edit,
    ending: Ending,
) -> BacktrackTrace:
    """Write the reference with errors that are taken back on the way.

    Args:
        reference: Token ids of the answer, EOS included.
        errors: The errors in order. Several at one position are written and taken back one after the other.
        vocab: The edit vocabulary of the ids.
        eos: The id that ends a response.
        edit: The edit that deletes errors.
        ending: The place where the trace ends. A trace without errors is always whole.

    Returns:
        The trace with the kinds of its errors.
    """
    from halluc_plugin.edits import events, resolve_row
    from halluc_plugin.traces import inject

    waiting: defaultdict[int, list[tuple[int, ...]]] = defaultdict(list)
    for error in errors:
        waiting[error.position].append(error.ids)
    ids = inject(
        reference,
        lambda position: waiting[position].pop(0) if waiting[position] else None,
        vocab,
        eos_ids={eos},
        edit=edit.kind,
        repeat=True,
    ).ids
    kinds = tuple(error.kind for error in errors)
    if errors and ending is Ending.BACKTRACK:
        ids, kinds = ids[: events(resolve_row(ids, vocab))[0].stop], kinds[:1]
    return BacktrackTrace(ids, kinds)


def _common_length(a: Sequence[int], b: Sequence[int]) -> int:
    """How many ids two sequences begin with alike."""
    differs = (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    return next(differs, min(len(a), len(b)))
