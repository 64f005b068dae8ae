"""Read and write files of raw traces, which fine-tuning reads.

A row is a verl row with ``prompt_ids`` and ``response_ids`` in the ids of one tokenizer. Masks are not
stored: they are functions of the ids (:mod:`halluc_plugin.edits`). A response that corrects itself in words
has no edits from which to compute them, so its file has a column ``erased``. The file's metadata names the
tokenizer by its fingerprint, so that ids are never read by another one.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import read_metadata, read_rows, write_parquet
from halluc_plugin.errors import DataError

FINGERPRINT = "tokenizer"


@dataclass(frozen=True)
class TraceRow:
    """One prompt with one raw trace.

    Attributes:
        prompt_ids: Token ids of the prompt, Int[P].
        response_ids: Token ids of the raw trace, Int[T].
        erased: For each id, whether words take it back (:func:`halluc_plugin.traces.marker_twin`), Bool[T];
            training treats it as an erased token. None if only edits take back.
    """

    prompt_ids: list[int]
    response_ids: list[int]
    erased: list[bool] | None = None

    def columns(self) -> dict[str, Any]:
        """Return the columns of the row as they are written; most files have no column ``erased``."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def fingerprint(tokenizer: Any) -> str:
    """Return a short name that two tokenizers share if they give every token the same id."""
    table = json.dumps(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(table.encode()).hexdigest()[:16]


def write_traces(path: Path, rows: Iterable[TraceRow], tokenizer: Any) -> int:
    """Write a file of traces.

    Args:
        path: The file to write; it appears when it is complete.
        rows: The traces, at least one; either all or none of them have ``erased``.
        tokenizer: The tokenizer of the ids.

    Returns:
        The number of rows written.

    Raises:
        DataError: There are no rows.
    """
    columns = (row.columns() for row in rows)
    return write_parquet(path, columns, {FINGERPRINT: fingerprint(tokenizer)})


def read_traces(path: Path, tokenizer: Any) -> list[TraceRow]:
    """Read a file of traces.

    Args:
        path: The file to read.
        tokenizer: The tokenizer of the model that will read the ids.

    Returns:
        The traces, in the order of the file.

    Raises:
        DataError: The file is refused by :func:`halluc_plugin.data.parquet.read_rows`, its ids belong to
            another tokenizer, or a row has no prompt or no response.
    """
    rows = read_rows(path, ("prompt_ids", "response_ids"), optional=("erased",))
    made_with = read_metadata(path).get(FINGERPRINT)
    if made_with != fingerprint(tokenizer):
        raise DataError(
            f"The ids in {path} are those of tokenizer {made_with}, the model's is {fingerprint(tokenizer)}.",
            "Write the file again with `--tokenizer` naming the model's tokenizer.",
        )
    for number, row in enumerate(rows):
        if not row["prompt_ids"] or not row["response_ids"]:
            raise DataError(f"{path}, row {number} has an empty prompt or response.", "Drop the row.")
        if row.get("erased") is not None and len(row["erased"]) != len(row["response_ids"]):
            raise DataError(
                f"{path}, row {number}: erased has {len(row['erased'])} values for "
                f"{len(row['response_ids'])} response ids.",
                "Give one for each id.",
            )
    return [TraceRow(**row) for row in rows]
