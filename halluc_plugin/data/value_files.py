"""Read and write files of step values, on which a scorer of steps is trained.

A row is a problem's prompt, a response cut into steps, and a value for each prefix that ends a step, in the
ids of one tokenizer. The file's metadata names the tokenizer by its fingerprint and the text that ends a
step, and each row the source of its problem, so that a scorer is never trained on another's steps.
"""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import read_metadata, read_rows, write_parquet
from halluc_plugin.data.trace_files import FINGERPRINT, fingerprint
from halluc_plugin.edits import find_delimiters
from halluc_plugin.errors import DataError

DELIMITER = "step_delimiter"
TURN_IDS = "turn_ids"  # files of before do not say it


@dataclass(frozen=True)
class ValueRow:
    """One response and the values of its prefixes.

    Attributes:
        data_source: Data source of the problem.
        prompt_ids: Token ids of the prompt, Int[P].
        step_ids: Token ids of each step, its delimiter or EOS included.
        values: Value of the bare prompt, then of the prefix that ends with each step, S + 1 numbers in [0,
            1]; None where a value is not known.
        correct: Whether the whole response is right.
        rollouts: Number of continuations that were sampled for the row's values.
        turn_ids: Number of ids at the end of the prompt that are earlier turns at the problem; what stands
            before them is the problem's own prompt.
    """

    data_source: str
    prompt_ids: list[int]
    step_ids: list[list[int]]
    values: list[float | None]
    correct: bool
    rollouts: int = 0
    turn_ids: int = 0

    @property
    def problem_ids(self) -> list[int]:
        """Token ids of the problem's own prompt."""
        return self.prompt_ids[: len(self.prompt_ids) - self.turn_ids]


def write_values(path: Path, rows: Iterable[ValueRow], tokenizer: Any, *, step_delimiter: str) -> int:
    """Write a file of values; it appears when it is complete.

    Args:
        path: The file to write.
        rows: The rows, at least one.
        tokenizer: The tokenizer of the ids.
        step_delimiter: Text that ends a step.

    Returns:
        The number of rows written.

    Raises:
        DataError: There are no rows.
    """
    metadata = value_metadata(tokenizer, step_delimiter)
    return write_parquet(path, (asdict(row) for row in rows), metadata)


def value_metadata(tokenizer: Any, step_delimiter: str) -> dict[str, str]:
    """Return the metadata of a file of values.

    Args:
        tokenizer: The tokenizer of the ids.
        step_delimiter: Text that ends a step.
    """
    return {FINGERPRINT: fingerprint(tokenizer), DELIMITER: step_delimiter}


def read_values(
    path: Path,
    tokenizer: Any,
    *,
    step_delimiter: str | None = None,
    data_sources: Collection[str] | None = None,
) -> list[ValueRow]:
    """Read a file of values.

    Args:
        path: The file to read.
        tokenizer: The tokenizer of the model that will read the ids.
        step_delimiter: Text that ends a step of that model; None accepts the file's.
        data_sources: Data sources that are accepted; None accepts any.

    Returns:
        The rows, in the order of the file.

    Raises:
        DataError: The file is missing or malformed; the ids belong to another tokenizer, steps end with
            another text, or a problem has another source; a response has no step, an empty step, a step
            without an end, or not one value more than steps; or a value is outside [0, 1].
    """
    columns = [name for name in ValueRow.__dataclass_fields__ if name != TURN_IDS]
    found = read_rows(path, columns, optional=[TURN_IDS])
    rows = [ValueRow(**{**row, TURN_IDS: row.get(TURN_IDS) or 0}) for row in found]
    ends = _step_ends(path, tokenizer, step_delimiter)
    for number, row in enumerate(rows):
        if told := fault(row, ends):
            raise DataError(f"{path}, row {number}: {told}.", "Write the file again, or drop the row.")
        if data_sources is not None and row.data_source not in data_sources:
            raise DataError(
                f"{path}, row {number} is of {row.data_source}, not of {', '.join(sorted(data_sources))}.",
                "Give values of the task that the scorer is for.",
            )
    return rows


def read_delimiter(path: Path) -> str:
    """Return the text that ends a step in a file of values.

    Raises:
        DataError: The file does not name it.
    """
    found = read_metadata(path).get(DELIMITER)
    if not isinstance(found, str):
        raise DataError(f"{path} does not say what ends a step.", "Give a file of `halluc data values`.")
    return found


def _step_ends(path: Path, tokenizer: Any, step_delimiter: str | None) -> Collection[int]:
    """Ids that end a step or a response."""
    metadata = read_metadata(path)
    made_with, delimiter = metadata.get(FINGERPRINT), metadata.get(DELIMITER)
    if made_with != fingerprint(tokenizer):
        raise DataError(
            f"The ids in {path} are those of tokenizer {made_with}, the model's is {fingerprint(tokenizer)}.",
            "Write the file again with the model's tokenizer.",
        )
    if delimiter is None or step_delimiter not in {None, delimiter}:
        raise DataError(
            f"Steps in {path} end with {delimiter!r}, those of the model with {step_delimiter!r}.",
            "Write the file again with that --step-delimiter, or give the file's.",
        )
    return find_delimiters(tokenizer, delimiter) | set(tokenizer.all_special_ids)


def fault(row: ValueRow, ends: Collection[int] | None = None) -> str | None:
    """Return what is wrong with a row, None if nothing is.

    Args:
        row: The row to check.
        ends: Ids that end a step or a response; None to skip that check.
    """
    if not row.prompt_ids or not row.step_ids:
        return "the prompt or the response is empty"
    if not 0 <= row.turn_ids < len(row.prompt_ids):
        return f"{row.turn_ids} of the prompt's {len(row.prompt_ids)} ids are earlier turns"
    for number, step in enumerate(row.step_ids, 1):
        if not step:
            return f"step {number} is empty"
        if ends is not None and step[-1] not in ends:
            return f"step {number} of {len(row.step_ids)} has no end, neither the step delimiter nor EOS"
    if len(row.values) != len(row.step_ids) + 1:
        return f"{len(row.values)} values for {len(row.step_ids)} steps; give one more than steps"
    outside = [value for value in row.values if value is not None and not 0 <= value <= 1]
    return f"the value {outside[0]} is outside [0, 1]" if outside else None
