"""Files of step values: what a scorer of steps is trained on.

A row is a problem's prompt, a response cut into steps, and a value for each prefix that ends a step, in the
ids of one tokenizer. The file's metadata names the tokenizer by its fingerprint, the text that ends a step,
and the sources of the problems, so that a scorer is never trained on another's steps.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import read_metadata, read_rows, write_parquet
from halluc_plugin.data.trace_files import FINGERPRINT, fingerprint
from halluc_plugin.errors import DataError

DELIMITER = "step_delimiter"


@dataclass(frozen=True)
class ValueRow:
    """One response and the values of its prefixes.

    Attributes:
        data_source: Of the problem.
        prompt_ids: Ids of the prompt, as the model is asked.
        step_ids: Ids of each step, its delimiter or EOS included.
        values: One more than there are steps, in [0, 1]; the first is that of the bare prompt. None where
            nothing is known.
        correct: Whether the whole response is right.
        rollouts: Continuations that were sampled for the row's values.
    """

    data_source: str
    prompt_ids: list[int]
    step_ids: list[list[int]]
    values: list[float | None]
    correct: bool
    rollouts: int = 0


def write_values(path: Path, rows: Iterable[ValueRow], tokenizer: Any, *, step_delimiter: str) -> int:
    """Write a file of values; it appears when it is complete.

    Args:
        path: The file.
        rows: At least one.
        tokenizer: Whose ids they are in.
        step_delimiter: Text that ends a step.

    Returns:
        How many rows were written.

    Raises:
        DataError: There are no rows.
    """
    metadata = {FINGERPRINT: fingerprint(tokenizer), DELIMITER: step_delimiter}
    return write_parquet(path, (asdict(row) for row in rows), metadata)


def read_values(path: Path, tokenizer: Any) -> list[ValueRow]:
    """Read a file of values.

    Args:
        path: The file.
        tokenizer: Of the model that will read the ids.

    Raises:
        DataError: The file is missing or malformed; the ids are another tokenizer's; a response has no step,
            an empty one, or not one value more than steps; a value is outside [0, 1].
    """
    rows = [ValueRow(**row) for row in read_rows(path, tuple(ValueRow.__dataclass_fields__))]
    made_with = read_metadata(path).get(FINGERPRINT)
    if made_with != fingerprint(tokenizer):
        raise DataError(
            f"The ids in {path} are those of tokenizer {made_with}, the model's is {fingerprint(tokenizer)}.",
            "Write the file again with the model's tokenizer.",
        )
    for number, row in enumerate(rows):
        if told := fault(row):
            raise DataError(f"{path}, row {number}: {told}.", "Write the file again, or drop the row.")
    return rows


def fault(row: ValueRow) -> str | None:
    """What is wrong with a row, None for nothing."""
    if not row.prompt_ids or not row.step_ids:
        return "the prompt or the response is empty"
    if not all(row.step_ids):
        return f"step {[bool(step) for step in row.step_ids].index(False) + 1} is empty"
    if len(row.values) != len(row.step_ids) + 1:
        return f"{len(row.values)} values for {len(row.step_ids)} steps; give one more than steps"
    outside = [value for value in row.values if value is not None and not 0 <= value <= 1]
    return f"the value {outside[0]} is outside [0, 1]" if outside else None
