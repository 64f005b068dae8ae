"""Read and write files of rows: parquet files written atomically, and users' files, JSON included."""

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
        path: The file to write. Its folder is created if it does not exist.
        rows: Plain rows with the same keys, at least one.
        metadata: JSON-able metadata that is kept in the file; :func:`read_metadata` returns it.
        may_be_empty: Whether a file without rows, and therefore without columns, may be written.
        schema: Arrow schema of the rows; None to infer it from the first few thousand.

    Returns:
        The number of rows written.

    Raises:
        DataError: There are no rows, and ``may_be_empty`` is false.
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
    """Return the Arrow schema for the rows of several files, None if none of them has rows.

    A column that is empty in all rows of one file takes its type from another file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schemas = [pq.read_schema(path).remove_metadata() for path in paths]
    found = [schema for schema in schemas if schema.names]
    return pa.unify_schemas(found, promote_options="permissive") if found else None


def storable(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows that parquet can hold.

    A column whose values have no common type becomes JSON text.

    Args:
        rows: Rows with the same keys, for example from a JSON file, where a column may mix types.
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
    """Return the metadata that :func:`write_parquet` stored; empty for files that it did not write."""
    import pyarrow.parquet as pq

    if path.suffix in json_files.SUFFIXES:
        return {}
    found: dict[str, Any] = json.loads((pq.read_schema(path).metadata or {}).get(METADATA_KEY, b"{}"))
    return found


def read_rows_in_groups(path: Path) -> Iterator[dict[str, Any]]:
    """Yield all rows of a file that halluc wrote, with one row group at a time in memory."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        yield from file.read_row_group(group).to_pylist()


def read_rows(path: Path, columns: Sequence[str], *, optional: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Read the rows of a file, reduced to some columns.

    Args:
        path: The file to read: JSON if its name ends in ``.json`` or ``.jsonl``, else parquet.
        columns: Columns that the file must have.
        optional: Columns that are read if the file has them.

    Returns:
        The rows. A key that a row of a JSON file leaves out is None, as in verl.

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
    """Read a file of problems for verl and check every row.

    Args:
        path: The file to read.
        prompt_key: The column of the prompts.
        truth_fault: Function that returns what the judge of a row's source finds wrong with its ground truth;
            None if a user's function judges, or nothing does.

    Returns:
        The rows, reduced to the columns that were checked, ``extra_info`` and ``agent_name``.

    Raises:
        DataError: The file is refused by :func:`read_rows`; or a row has an empty prompt, no source, or no
            ground truth that its judge understands. The message names the first such row.
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
