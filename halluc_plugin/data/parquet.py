"""Files of rows: parquet, written so that a file is whole or absent, and what a user brings, JSON too."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from halluc_plugin import moved
from halluc_plugin.atomic_files import whole_file
from halluc_plugin.data import json_files
from halluc_plugin.data.rows import TruthFault, fault
from halluc_plugin.errors import DataError

ROW_COLUMNS = ("data_source", "prompt", "reward_model")
METADATA_KEY = b"halluc"
ROWS_PER_GROUP = 4096
REMEDY = "Write it in verl's form, e.g. with `halluc data countdown`."


def write_parquet(
    path: Path,
    rows: Iterable[Mapping[str, Any]],
    metadata: Mapping[str, Any],
    *,
    may_be_empty: bool = False,
    schema: Any = None,
) -> int:
    """Write rows as they come; the file appears when it is complete.

    Args:
        path: Where to; its folder is made.
        rows: Plain rows with the same keys, at least one.
        metadata: JSON-able; kept in the file, see :func:`read_metadata`.
        may_be_empty: Whether a file without rows, and without columns, is written too.
        schema: Arrow's, of the rows; None for what the first few thousand have.

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
                table = pa.Table.from_pylist(group, schema=schema)
                if writer is None:
                    schema = _described(table.schema, metadata)
                    writer = pq.ParquetWriter(partial, schema)
                writer.write_table(table.cast(schema))
                count += len(group)
        finally:
            if writer is not None:
                writer.close()
        if not count:
            if not may_be_empty:
                raise DataError(f"There are no rows to write to {path}.", "Ask for at least one.")
            pq.write_table(pa.table({}).cast(_described(pa.schema([]), metadata)), partial)
    return count


def common_schema(paths: Iterable[Path]) -> Any:
    """Arrow's schema for the rows of several files; None if none has rows.

    What is empty in all rows of one file may have a type in another.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schemas = [pq.read_schema(path).remove_metadata() for path in paths]
    found = [schema for schema in schemas if schema.names]
    return pa.unify_schemas(found, promote_options="permissive") if found else None


def storable(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as parquet can hold them: a column whose values have no common type becomes JSON text.

    Args:
        rows: With the same keys; from a JSON file, for example, where anything may stand beside anything.
    """
    import pyarrow as pa

    kept = [dict(row) for row in rows]
    for name in kept[0] if kept else ():
        try:
            plain = "struct<>" not in str(pa.array([row[name] for row in kept]).type)
        except (pa.ArrowException, OverflowError):
            plain = False
        if not plain:
            for row in kept:
                row[name] = json.dumps(row[name], ensure_ascii=False)
    return kept


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

    if path.suffix in json_files.SUFFIXES:
        return {}
    found: dict[str, Any] = json.loads((pq.read_schema(path).metadata or {}).get(METADATA_KEY, b"{}"))
    return found


def read_rows_in_groups(path: Path) -> Iterator[dict[str, Any]]:
    """All rows of a file of ours, a group at a time in memory."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        yield from file.read_row_group(group).to_pylist()


def read_rows(path: Path, columns: Sequence[str], *, optional: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Rows of a file, reduced to some columns.

    Args:
        path: The file: JSON if its name ends in ``.json`` or ``.jsonl``, else parquet.
        columns: Columns it must have.
        optional: Columns taken too where it has them.

    Returns:
        The rows; what a row of a JSON file leaves out is None, as in verl.

    Raises:
        DataError: The file is missing, cannot be read, has no rows, or lacks a column.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist.", "Give the path of a file: parquet, .json or .jsonl.")
    read = _read_json if path.suffix in json_files.SUFFIXES else _read_parquet
    rows = read(path, columns, optional)
    if not rows:
        raise DataError(f"{path} has no rows.", REMEDY)
    return rows


def _read_parquet(path: Path, columns: Sequence[str], optional: Sequence[str]) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        taken = _taken(path, pq.read_schema(path).names, columns, optional)
        rows: list[dict[str, Any]] = pq.read_table(path, columns=taken).to_pylist()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} holds text that is not UTF-8 ({error}).", "Write it as UTF-8.") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} is no parquet file ({error}).",
            f"{REMEDY} JSON is read from files whose names end in .json or .jsonl.",
        ) from error
    return rows


def _read_json(path: Path, columns: Sequence[str], optional: Sequence[str]) -> list[dict[str, Any]]:
    rows = list(json_files.read_json(path))
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"{path}, row {number} is {row!r:.80}, no JSON object.", json_files.REMEDY)
    names = dict.fromkeys(name for row in rows for name in row)
    taken = _taken(path, list(names), columns, optional) if rows else []
    return [{name: row.get(name) for name in taken} for row in rows]


def _taken(path: Path, names: Sequence[str], columns: Sequence[str], optional: Sequence[str]) -> list[str]:
    missing = [column for column in columns if column not in names]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; it has {', '.join(names)}.", REMEDY)
    return [*columns, *(column for column in optional if column in names)]


def checked_rows(
    path: Path, *, prompt_key: str = "prompt", truth_fault: TruthFault | None = None
) -> list[dict[str, Any]]:
    """Check a file of problems for verl.

    Args:
        path: The file.
        prompt_key: The column of the prompts.
        truth_fault: Says whether the judge of a row's source understands its ground truth; None where a
            function of the user's judges, or nothing.

    Returns:
        Its rows, reduced to what was checked, ``extra_info`` and ``agent_name``.

    Raises:
        DataError: As :func:`read_rows`; or a row has an empty prompt, no source, or no ground truth that its
            judge understands. The message names the first such row.
    """
    columns = [prompt_key if column == "prompt" else column for column in ROW_COLUMNS]
    rows = read_rows(path, columns, optional=("extra_info", "agent_name"))
    for number, row in enumerate(rows):
        if found := fault(row, prompt_key, truth_fault=truth_fault):
            raise DataError(
                f"{path}, row {number}: {found}",
                "Drop or repair the row; verl wants data_source, prompt (a list of messages) and "
                "reward_model.ground_truth.",
            )
    return rows


moved.forward(__name__)
