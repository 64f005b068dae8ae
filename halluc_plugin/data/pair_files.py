"""Read and write files of pairs: two raw traces of one problem, of which one is preferred.

A row has ``prompt_ids``, ``chosen_ids`` and ``rejected_ids`` in the ids of one tokenizer, raw, with the edit
tokens in them. Masks are not stored, as in files of traces: they are functions of the ids. Sides that correct
themselves in words have ``chosen_erased`` and ``rejected_erased``. A file whose sides bring a prompt each
(``chosen_prompt_ids`` and ``rejected_prompt_ids`` instead of ``prompt_ids``) is read if the prompts are the
same. ``better_prompt_ids`` and ``worse_prompt_ids`` are the prompt with an opposite request each, for token
rewards (T-REG). The file's metadata names the tokenizer by its fingerprint.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import read_metadata, read_rows, write_parquet
from halluc_plugin.data.trace_files import FINGERPRINT, TraceRow, fingerprint
from halluc_plugin.errors import DataError

SIDES = ("chosen", "rejected")


@dataclass(frozen=True)
class PairRow:
    """One prompt with a preferred raw trace and another one.

    Attributes:
        prompt_ids: Token ids of the prompt, Int[P].
        chosen_ids: Token ids of the preferred raw trace.
        rejected_ids: Token ids of the other raw trace.
        chosen_erased: For each id of the chosen side, whether words take it back; None if only edits take
            back.
        rejected_erased: The same of the rejected side.
        better_prompt_ids: The prompt with the request for a better answer; None if no tokens are rewarded.
        worse_prompt_ids: The prompt with the request for a worse answer; None if no tokens are rewarded.
    """

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    chosen_erased: list[bool] | None = None
    rejected_erased: list[bool] | None = None
    better_prompt_ids: list[int] | None = None
    worse_prompt_ids: list[int] | None = None

    @property
    def sides(self) -> tuple[TraceRow, TraceRow]:
        """The chosen trace, and the rejected one."""
        return (
            TraceRow(self.prompt_ids, self.chosen_ids, self.chosen_erased),
            TraceRow(self.prompt_ids, self.rejected_ids, self.rejected_erased),
        )

    @property
    def shared(self) -> int:
        """The number of tokens with which both sides begin."""
        both = zip(self.chosen_ids, self.rejected_ids, strict=False)
        shorter = min(len(self.chosen_ids), len(self.rejected_ids))
        return next((at for at, (one, other) in enumerate(both) if one != other), shorter)

    def columns(self) -> dict[str, Any]:
        """Return the columns of the row as they are written; most files have no columns of erased tokens."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def pair_of(chosen: TraceRow, rejected: TraceRow) -> PairRow:
    """Return two traces as a pair.

    Raises:
        DataError: The traces answer two prompts, are equal, or are otherwise refused by :func:`fault`.
    """
    if chosen.prompt_ids != rejected.prompt_ids:
        raise DataError("The sides of a pair answer two problems.", "Pair answers to one prompt.")
    row = PairRow(
        chosen.prompt_ids, chosen.response_ids, rejected.response_ids, chosen.erased, rejected.erased
    )
    if told := fault(row):
        raise DataError(f"A pair cannot be learned from: {told}.", "Leave it out.")
    return row


def fault(row: PairRow) -> str | None:
    """Return what is wrong with a pair, None if nothing is."""
    return next(_faults(row), None)


def _faults(row: PairRow) -> Iterator[str]:
    if not row.prompt_ids:
        yield "the prompt is empty"
    for name, side in zip(SIDES, row.sides, strict=True):
        if not side.response_ids:
            yield f"the {name} side is empty"
        if side.erased is not None and len(side.erased) != len(side.response_ids):
            yield f"{name}_erased has {len(side.erased)} values for {len(side.response_ids)} ids"
    if bool(row.better_prompt_ids) is not bool(row.worse_prompt_ids):
        yield "of better_prompt_ids and worse_prompt_ids one is there and the other is not"
    if row.chosen_ids == row.rejected_ids:
        yield "both sides are equal"
    for name, side in zip(SIDES, row.sides, strict=True):
        if row.shared == len(side.response_ids):
            yield f"the other side begins with the whole {name} side, which has no token of its own"


def write_pairs(path: Path, rows: Iterable[PairRow], tokenizer: Any) -> int:
    """Write a file of pairs; it appears when it is complete.

    Args:
        path: The file to write.
        rows: The pairs, at least one; either all or none of them have columns of erased tokens.
        tokenizer: The tokenizer of the ids.

    Returns:
        The number of rows written.

    Raises:
        DataError: There are no rows.
    """
    return write_parquet(path, (row.columns() for row in rows), {FINGERPRINT: fingerprint(tokenizer)})


def read_pairs(path: Path, tokenizer: Any) -> list[PairRow]:
    """Read a file of pairs.

    Args:
        path: The file to read.
        tokenizer: The tokenizer of the model that will read the ids.

    Returns:
        The pairs, in the order of the file.

    Raises:
        DataError: The file is refused by :func:`halluc_plugin.data.parquet.read_rows`, its ids belong to
            another tokenizer, or a row is of two problems or refused by :func:`fault`.
    """
    prompts = ("prompt_ids", "chosen_prompt_ids", "rejected_prompt_ids")
    others = ("chosen_erased", "rejected_erased", "better_prompt_ids", "worse_prompt_ids")
    rows = read_rows(path, ("chosen_ids", "rejected_ids"), optional=(*prompts, *others))
    made_with = read_metadata(path).get(FINGERPRINT)
    if made_with != fingerprint(tokenizer):
        raise DataError(
            f"The ids in {path} are those of tokenizer {made_with}, the model's is {fingerprint(tokenizer)}.",
            "Write the file again with the model's tokenizer.",
        )
    found = []
    for number, columns in enumerate(rows):
        prompt = _prompt(path, number, columns)
        row = PairRow(prompt, **{name: value for name, value in columns.items() if name not in prompts})
        if told := fault(row):
            raise DataError(f"{path}, row {number}: {told}.", "Drop the pair.")
        found.append(row)
    return found


def _prompt(path: Path, number: int, columns: Mapping[str, Any]) -> list[int]:
    """The prompt of a row; every prompt that it has is the same."""
    names = ("prompt_ids", "chosen_prompt_ids", "rejected_prompt_ids")
    given = {tuple(columns[name]) for name in names if columns.get(name) is not None}
    if len(given) > 1:
        raise DataError(f"{path}, row {number} is a pair of two problems.", "Pair answers to one prompt.")
    if not given:
        raise DataError(
            f"{path}, row {number} has no prompt.",
            "Write the column prompt_ids, or chosen_prompt_ids and rejected_prompt_ids.",
        )
    return list(given.pop())
