"""Read the rows of JSON files: one object on each line, or one array.

verl accepts both layouts under ``.json`` and ``.jsonl``.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from halluc_plugin.commands import shell
from halluc_plugin.errors import DataError

SUFFIXES = frozenset({".json", ".jsonl"})
REMEDY = "Give JSON objects, one a line or all in an array."


def read_json(path: Path) -> Iterator[Any]:
    """Yield the rows of a file, whatever JSON values they are; blank lines are skipped.

    Args:
        path: The file to read.

    Raises:
        DataError: The file cannot be read, is not UTF-8, or contains something that is not JSON. The message
            names the line.
    """
    text = read_text(path)
    if text.lstrip().startswith("["):
        yield from _parsed(path, text, 1, 1)
        return
    number = 0
    # Not splitlines: a text may hold one of the other line breaks that Unicode knows.
    for line, written in enumerate(text.split("\n"), 1):
        if written.strip():
            number += 1
            yield _parsed(path, written, number, line)


def _parsed(path: Path, text: str, number: int, line: int) -> Any:
    try:
        found = json.loads(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(found, ensure_ascii=False).encode()  # half a character cannot be encoded
    except json.JSONDecodeError as error:
        at, reason = line + error.lineno - 1, f"JSONDecodeError: {error.msg}"
    except (RecursionError, ValueError) as error:  # no end of brackets, of digits; half a character
        at, reason = line, type(error).__name__
    else:
        return found
    raise DataError(f"{path}, row {number} is not a row of JSON (line {at}; {reason}).", REMEDY)


def read_text(path: Path) -> str:
    """Read a text file that a user provides.

    Raises:
        DataError: The file cannot be read, or is not UTF-8; the message names the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}).", "Give the path of a file.") from error
    try:
        return data.decode("utf-8-sig")  # some programs write a mark at the beginning
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        convert = shell("iconv", "-f", "latin1", "-t", "utf-8", path)
        raise DataError(
            f"{path}, line {line} is not UTF-8 text (byte 0x{data[error.start]:02x}).",
            f"Save it as UTF-8; if it is Latin-1, by `{convert}`.",
        ) from error
