"""Files of raw traces: what fine-tuning reads.

A row is a verl row with ``prompt_ids`` and ``response_ids`` in the ids of one tokenizer. Masks are not
stored: they are functions of the ids (:mod:`halluc_plugin.edits`). The file's metadata names the tokenizer by
its fingerprint, so that ids are never read by another one.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import read_metadata, read_rows
from halluc_plugin.errors import DataError

FINGERPRINT = "tokenizer"


@dataclass(frozen=True)
class TraceRow:
    """One example.

    Attributes:
        prompt_ids: Ids of the prompt, as the model is asked.
        response_ids: The raw trace.
    """

    prompt_ids: list[int]
    response_ids: list[int]


def fingerprint(tokenizer: Any) -> str:
    """A short name of a tokenizer's ids: equal for two tokenizers that give every token the same id."""
    table = json.dumps(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(table.encode()).hexdigest()[:16]


def prompt_ids(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """The ids of a prompt, by the tokenizer's chat template, as verl asks the model."""
    ids: list[int] = tokenizer.apply_chat_template(
        [dict(message) for message in messages], add_generation_prompt=True, return_dict=False
    )
    return ids


def read_traces(path: Path, tokenizer: Any) -> list[TraceRow]:
    """Read a file of traces.

    Args:
        path: The file.
        tokenizer: Of the model that will read the ids.

    Raises:
        DataError: As :func:`halluc_plugin.data.parquet.read_rows`; or the ids are another tokenizer's; or a
            row has no prompt or no response.
    """
    rows = read_rows(path, ("prompt_ids", "response_ids"))
    made_with = read_metadata(path).get(FINGERPRINT)
    if made_with != fingerprint(tokenizer):
        raise DataError(
            f"The ids in {path} are those of tokenizer {made_with}, the model's is {fingerprint(tokenizer)}.",
            "Write the file again with `--tokenizer` naming the model's tokenizer.",
        )
    for number, row in enumerate(rows):
        if not row["prompt_ids"] or not row["response_ids"]:
            raise DataError(f"{path}, row {number} has an empty prompt or response.", "Drop the row.")
    return [TraceRow(**row) for row in rows]
