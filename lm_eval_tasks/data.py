"""Local data sets, so that tasks run offline: files below a folder the user names."""

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halluc_plugin.errors import DataError, SettingsError

ENVIRONMENT = "HALLUC_DATA_DIR"
METADATA = "data_dir"


def local_folder(name: str, files: Sequence[str], metadata: Mapping[str, Any]) -> Path | None:
    """The folder that holds a data set, None where the task's default source is to be used.

    ``HALLUC_DATA_DIR`` is a folder of data sets: one that has no folder ``name`` leaves this data set to its
    default source. ``data_dir`` of the task's metadata wins; it names such a folder, or the data set's own,
    and must hold the files.

    Args:
        name: The data set's folder.
        files: The files it must hold.
        metadata: The task's metadata.

    Raises:
        SettingsError: The metadata has a key that looks like ``data_dir`` misspelt.
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
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise DataError(
            f"{folder} has no {' and no '.join(missing)} ({label} names it).",
            f"Put {' and '.join(files)} into {root / name}.",
        )
    return folder


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a file, reduced to ``columns``: a JSON array (``.json``), else JSON lines.

    Raises:
        DataError: A row is not a JSON object, lacks a column, or there is none.
    """
    text, rows = path.read_text(encoding="utf-8"), []
    try:
        # Not splitlines: a problem may hold one of the other line breaks that Unicode knows.
        lines = [line for line in text.split("\n") if line.strip()]
        found = enumerate(json.loads(text) if path.suffix == ".json" else lines, 1)
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not JSON ({error}).", "Give a JSON array of rows.") from error
    for number, written in found:
        try:
            row = json.loads(written) if isinstance(written, str) else written
            rows.append({column: row[column] for column in columns})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise DataError(
                f"{path}, row {number} is not a row with {', '.join(columns)} ({reason}).",
                "Give JSON objects with these columns, one a line or all in an array.",
            ) from error
    if not rows:
        raise DataError(f"{path} is empty.", "Give JSON objects, one a line or all in an array.")
    return rows


def _refuse_misspelt(metadata: Mapping[str, Any]) -> None:
    # Metadata holds the model's arguments too, so unknown keys cannot be refused, only near misses.
    for key in difflib.get_close_matches(METADATA, [str(key) for key in metadata], cutoff=0.8):
        if key != METADATA:
            raise SettingsError(f"The metadata has {key!r}, which no task knows.", f"Write {METADATA!r}.")
