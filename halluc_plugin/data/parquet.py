"""verl parquet files: writing rows so that a file is whole or absent, and checking what a user brings."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from halluc_plugin.errors import DataError
from halluc_plugin.whole import whole_file

ROW_COLUMNS = ("data_source", "prompt", "reward_model")
METADATA_KEY = b"halluc"
ROWS_PER_GROUP = 4096


def write_parquet(
    path: Path, rows: Iterable[Mapping[str, Any]], metadata: Mapping[str, Any], *, may_be_empty: bool = False
) -> int:
    """Write rows as they come; the file appears when it is complete.

    Args:
        path: Where to; its folder is made.
        rows: Plain rows with the same keys, at least one.
        metadata: JSON-able; kept in the file, see :func:`read_metadata`.
        may_be_empty: Whether a file without rows, and without columns, is written too.

    Returns:
        How many rows were written.

    Raises:
        DataError: There are no rows, and there must be.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer, count = None, 0
    with whole_file(path) as partial:
        try:
            for group in _groups(rows):
                table = pa.Table.from_pylist(group, schema=None if writer is None else writer.schema)
                if writer is None:
                    writer = pq.ParquetWriter(partial, _described(table.schema, metadata))
                writer.write_table(table.cast(writer.schema))
                count += len(group)
        finally:
            if writer is not None:
                writer.close()
        if not count:
            if not may_be_empty:
                raise DataError(f"There are no rows to write to {path}.", "Ask for at least one.")
            pq.write_table(pa.table({}).cast(_described(pa.schema([]), metadata)), partial)
    return count


def _described(schema: Any, metadata: Mapping[str, Any]) -> Any:
    return schema.with_metadata({**(schema.metadata or {}), METADATA_KEY: json.dumps(metadata).encode()})


def _groups(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for row in rows:
        group.append(dict(row))
        if len(group) == ROWS_PER_GROUP:
            yield group
            group = []
    if group:
        yield group


def read_metadata(path: Path) -> dict[str, Any]:
    """What :func:`write_parquet` was told; empty for other people's files."""
    import pyarrow.parquet as pq

    found: dict[str, Any] = json.loads((pq.read_schema(path).metadata or {}).get(METADATA_KEY, b"{}"))
    return found


def read_rows_in_groups(path: Path) -> Iterator[dict[str, Any]]:
    """All rows of a file of ours, a group at a time in memory."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        yield from file.read_row_group(group).to_pylist()


def read_rows(path: Path, columns: Sequence[str], *, optional: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Rows of a parquet file, reduced to some columns.

    Args:
        path: The file.
        columns: Columns it must have.
        optional: Columns taken too where it has them.

    Raises:
        DataError: The file is missing, is no parquet file, is empty, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    remedy = "Write it in verl's form, e.g. with `halluc data countdown`."
    if not path.is_file():
        raise DataError(f"{path} does not exist.", "Give the path of a parquet file.")
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is no parquet file ({error}).", remedy) from error
    missing = [column for column in columns if column not in names]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; it has {', '.join(names)}.", remedy)
    taken = [*columns, *(column for column in optional if column in names)]
    rows: list[dict[str, Any]] = pq.read_table(path, columns=taken).to_pylist()
    if not rows:
        raise DataError(f"{path} has no rows.", remedy)
    return rows


def check_rows(path: Path, *, prompt_key: str = "prompt") -> list[dict[str, Any]]:
    """Check a file of problems for verl.

    Args:
        path: The file.
        prompt_key: The column of the prompts.

    Returns:
        Its rows, reduced to what was checked, ``extra_info`` and ``agent_name``.

    Raises:
        DataError: As :func:`read_rows`; or a row has an empty prompt, no source or no ground truth. The
            message names the first such row.
    """
    columns = [prompt_key if column == "prompt" else column for column in ROW_COLUMNS]
    rows = read_rows(path, columns, optional=("extra_info", "agent_name"))
    for number, row in enumerate(rows):
        if fault := _fault(row, prompt_key):
            raise DataError(
                f"{path}, row {number}: {fault}",
                "Drop or repair the row; verl wants data_source, prompt (a list of messages) and "
                "reward_model.ground_truth.",
            )
    return rows


def _fault(row: Mapping[str, Any], prompt_key: str) -> str | None:
    prompt = row[prompt_key]
    if not isinstance(prompt, list) or not prompt:
        return f"{prompt_key} is {prompt!r}, not a list of messages."
    if not all(isinstance(message, dict) and message.get("role") for message in prompt):
        return f"{prompt_key} holds a message without a role."
    if not any(message.get("content") for message in prompt):
        return f"{prompt_key} is empty: no message has content."
    if not row["data_source"]:
        return "data_source is empty."
    reward_model = row["reward_model"]
    if not isinstance(reward_model, dict) or reward_model.get("ground_truth") is None:
        return "reward_model has no ground_truth."
    return None
