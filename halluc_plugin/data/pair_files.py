"""Read and write files of pairs: two raw traces of one problem, of which one is preferred.

A row has ``prompt_ids``, ``chosen_ids`` and ``rejected_ids`` in the ids of one tokenizer, raw, with the edit
tokens in them. Masks are not stored, as in files of traces: they are functions of the ids. Sides that correct
themselves in words have ``chosen_erased`` and ``rejected_erased``. A file whose sides bring a prompt each
(``chosen_prompt_ids`` and ``rejected_prompt_ids`` instead of ``prompt_ids``) is read if the prompts are the
same. The file's metadata names the tokenizer by its fingerprint.
"""

from collections.abc import Iterable, Mapping
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
    """

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    chosen_erased: list[bool] | None = None
    rejected_erased: list[bool] | None = None

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
    if not row.prompt_ids:
        return "the prompt is empty"
    for name, side in zip(SIDES, row.sides, strict=True):
        if not side.response_ids:
            return f"the {name} side is empty"
        if side.erased is not None and len(side.erased) != len(side.response_ids):
            return f"{name}_erased has {len(side.erased)} values for {len(side.response_ids)} ids"
    if row.chosen_ids == row.rejected_ids:
        return "both sides are equal"
    for name, side in zip(SIDES, row.sides, strict=True):
        if row.shared == len(side.response_ids):
            return f"the other side begins with the whole {name} side, which has no token of its own"
    return None


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
    rows = read_rows(
        path, ("chosen_ids", "rejected_ids"), optional=(*prompts, "chosen_erased", "rejected_erased")
    )
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
    given = {tuple(value) for name, value in columns.items() if "prompt" in name and value is not None}
    if len(given) > 1:
        raise DataError(f"{path}, row {number} is a pair of two problems.", "Pair answers to one prompt.")
    if not given:
        raise DataError(
            f"{path}, row {number} has no prompt.",
            "Write the column prompt_ids, or chosen_prompt_ids and rejected_prompt_ids.",
        )
    return list(given.pop())
