"""Read what ``halluc search --out`` wrote: a selected answer to each problem, and its cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import read_rows
from halluc_plugin.edits import read_record
from halluc_plugin.errors import DataError
from halluc_plugin.viewer.answers import Kind, ShownAnswer, Source, judged, pieces
from halluc_plugin.viewer.sources.lines import whole_lines

NO_FIGURES = frozenset(("row", "correct"))
"""Fields of a line that identify the answer or give its verdict, and are not figures."""


def read(path: Path) -> Source:
    """Read the answers of a search.

    Args:
        path: The file to read. Its problems are shown if the data that it names still exist.

    Raises:
        DataError: A line is not an answer of a search.
    """
    rows, skipped = whole_lines(path)
    problems, note = _problems(rows[0][1])
    shown = []
    for number, row in rows:
        try:
            shown.append(_shown(row, problems))
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {number} is no answer of a search ({type(error).__name__}: {error}).",
                "Delete the line or the file.",
            ) from error
    return Source(path.stem, Kind.SEARCH, path, shown, skipped=skipped, notes=note)


def _problems(first: Mapping[str, Any]) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    data = Path(str((first.get("search") or {}).get("data", "")))
    if not data.is_file():
        return [], (f"The problems are not shown: {data} is not there.",)
    return read_rows(data, ("prompt",), optional=("data_source",)), ()


def _shown(row: Mapping[str, Any], problems: list[dict[str, Any]]) -> ShownAnswer:
    number = row["row"]
    problem = problems[number] if number < len(problems) else None
    # Files of before have no account of the search, those before them not even of the answer's tokens.
    known = row.get("visited") or row.get("actions") or {"tokens": pieces(row["answer"] or "")}
    return ShownAnswer(
        answer=f"row {number}",
        prompt=f"problem {number}" if problem is None else _text(problem["prompt"]),
        tokens=known["tokens"],
        record=read_record(known["trace"]) if "trace" in known else None,
        starts=known.get("starts"),
        log_probs=known.get("log_probs"),
        entropies=known.get("entropies"),
        edit_probs=known.get("edit_probs"),
        data_source=problem and problem.get("data_source"),
        outcome=judged(float(row["correct"])),
        scores=_figures(row) | ({"not kept": known["left_out"]} if known.get("left_out") else {}),
        text=row["answer"],
    )


def _figures(row: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and name not in NO_FIGURES
    }


def _text(prompt: Any) -> str:
    """A problem's messages as text: of one message its content alone."""
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1:
        return str(prompt[0]["content"])
    return "\n".join(f"{message['role']}: {message['content']}" for message in prompt)
