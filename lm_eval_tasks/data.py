"""Find local data sets, so that tasks run offline: files below a folder that the user names."""

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halluc_plugin.data.json_files import REMEDY, read_json
from halluc_plugin.errors import DataError, SettingsError

ENVIRONMENT = "HALLUC_DATA_DIR"
METADATA = "data_dir"


def local_folder(
    name: str, files: Sequence[str], metadata: Mapping[str, Any], *, suffixes: Sequence[str] = ("",)
) -> Path | None:
    """Return the folder that holds a data set, None to use the task's default source.

    ``HALLUC_DATA_DIR`` is a folder of data sets. If it has no folder ``name``, the data set has its default
    source. ``data_dir`` of the task's metadata takes precedence; it names such a folder, or the data set's
    own, and must hold the files.

    Args:
        name: Name of the data set's folder.
        files: The files it must hold.
        metadata: The task's metadata.
        suffixes: Suffixes of the files' names, any of which is accepted.

    Raises:
        SettingsError: The metadata has a key that looks like a misspelling of ``data_dir``.
        DataError: A named folder does not exist, or lacks a file.
    """
    _refuse_misspelt(metadata)
    by_metadata = metadata.get(METADATA)
    chosen = by_metadata or os.environ.get(ENVIRONMENT)
    if not chosen:
        return None
    label = f"The metadata's {METADATA}" if by_metadata else ENVIRONMENT
    root = Path(chosen).expanduser()
    if not root.is_dir():
        raise DataError(
            f"{label} is {root}, which is not a folder.", f"Name the folder that has {name}/ in it."
        )
    folder = root / name
    if not folder.is_dir():
        if not by_metadata:
            return None
        folder = root
    ends = " or ".join(filter(None, suffixes))
    missing = [file for file in files if not any((folder / f"{file}{end}").is_file() for end in suffixes)]
    if missing:
        raise DataError(
            f"{folder} has no {' and no '.join(f'{file}{ends}' for file in missing)} ({label} names it).",
            f"Put {' and '.join(f'{file}{ends}' for file in files)} into {root / name}.",
        )
    return folder


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Read the rows of a file, reduced to some columns.

    A ``.json`` file holds an array, any other file JSON lines.

    Raises:
        DataError: The file is refused by :func:`halluc_plugin.data.json_files.read_json`, a row is not a JSON
            object or lacks a column, or there are no rows.
    """
    rows = []
    for number, row in enumerate(read_json(path), 1):
        try:
            rows.append({column: row[column] for column in columns})
        except (KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise DataError(
                f"{path}, row {number} is not a row with {', '.join(columns)} ({reason}).",
                "Give JSON objects with these columns, one a line or all in an array.",
            ) from error
    if not rows:
        raise DataError(f"{path} is empty.", REMEDY)
    return rows


def _refuse_misspelt(metadata: Mapping[str, Any]) -> None:
    # Metadata holds the model's arguments too, so unknown keys cannot be refused, only near misses.
    for key in difflib.get_close_matches(METADATA, [str(key) for key in metadata], cutoff=0.8):
        if key != METADATA:
            raise SettingsError(f"The metadata has {key!r}, which no task knows.", f"Write {METADATA!r}.")
