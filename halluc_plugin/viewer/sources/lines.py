"""Read lines of JSON of which the last may be incomplete, because its writer was stopped or still writes."""

import json
from pathlib import Path
from typing import Any

from halluc_plugin.errors import DataError


def whole_lines(path: Path) -> tuple[list[tuple[int, Any]], int]:
    """Return the JSON objects of a file.

    Args:
        path: The file to read.

    Returns:
        The number and object of each line; and the number of lines left out at the end, 0 or 1.

    Raises:
        DataError: The file is empty, or a line before the last is not a JSON object.
    """
    # Not splitlines: a sampled text may hold one of the other line breaks that Unicode knows.
    lines = [line for line in enumerate(path.read_bytes().split(b"\n"), 1) if line[1].strip()]
    if not lines:
        raise DataError(f"{path} is empty.", "Look at a file with answers.")
    found = []
    for number, line in lines:
        record, fault = _object(line)
        if not fault:
            found.append((number, record))
        elif number == lines[-1][0] and found:
            return found, 1
        else:
            raise DataError(
                f"{path}, line {number} is no JSON object ({fault}).", "Delete the line or the file."
            )
    return found, 0


def _object(line: bytes) -> tuple[Any, str]:
    """The object of a line, and why it is none."""
    try:
        record = json.loads(line)
    except ValueError as error:
        return None, str(error)
    return record, "" if isinstance(record, dict) else f"it is {type(record).__name__}"
