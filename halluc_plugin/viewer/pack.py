"""Pack answers for a page: an index that is read at once, and parts that are read when needed.

Both are JSON, compressed and in base64, so that they stand in HTML as they are. The index has a column for
each thing that is filtered or sorted by; a part has the actions of :data:`PART` answers.
"""

import base64
import gzip
import json
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from halluc_plugin.run_charts import Chart
from halluc_plugin.verifiers import Outcome
from halluc_plugin.viewer.answers import Flip, ShownAnswer, Source

PART = 200
"""Number of answers in a part: few enough to be read quickly, many enough to compress well."""
CUT = 240
"""Number of characters of a problem and of an answer that the list shows; the part has all of them."""
OUTCOMES: tuple[Outcome | None, ...] = (None, Outcome.CORRECT, Outcome.WRONG, Outcome.NO_ANSWER)
FLIPS = tuple(Flip)

COLUMNS: dict[str, Callable[[ShownAnswer], Any]] = {
    "name": lambda shown: shown.answer,
    "step": lambda shown: shown.step,
    "outcome": lambda shown: OUTCOMES.index(shown.outcome),
    "flip": lambda shown: FLIPS.index(shown.flip),
    "edits": lambda shown: shown.edits,
    "tokens": lambda shown: shown.raw_length,
    "depth": lambda shown: shown.deepest,
    "reward": lambda shown: _number(shown.reward),
    "advantage": lambda shown: _number(_advantage(shown)),
    "left": lambda shown: shown.left[:CUT],
}
"""Columns of the index, by name, that hold a value of each answer."""
SHARED: dict[str, Callable[[ShownAnswer], Hashable]] = {
    "prompt": lambda shown: shown.prompt,
    "group": lambda shown: shown.group,
    "data": lambda shown: shown.data_source,
}
"""Columns in which many answers share a value: each value is stored once, and a number for each answer."""


def index(sources: Sequence[Source]) -> dict[str, Any]:
    """Return what a page knows of all answers before any of them is shown.

    Args:
        sources: The answers, in the page's order.
    """
    shown = _all(sources)
    shared = {name: _numbered(map(of, shown)) for name, of in SHARED.items()}
    return {
        "part": PART,
        "outcomes": OUTCOMES,
        "flips": FLIPS,
        "sources": [_source(source) for source in sources],
        "columns": {name: [of(answer) for answer in shown] for name, of in COLUMNS.items()}
        | {name: numbers for name, (numbers, _) in shared.items()}
        | {"source": [number for number, source in enumerate(sources) for _ in source.answers]},
        "prompts": [prompt[:CUT] for prompt in shared["prompt"][1]],
        "groups": shared["group"][1],
        "data": shared["data"][1],
    }


def parts(sources: Sequence[Source]) -> Iterable[list[dict[str, Any]]]:
    """Yield the answers with all their data, :data:`PART` at a time, in the order of :func:`index`."""
    shown = _all(sources)
    for start in range(0, len(shown), PART):
        yield [_answer(answer) for answer in shown[start : start + PART]]


def compressed(value: Any) -> str:
    """Return a value as JSON, compressed by gzip and encoded in base64, which is safe inside HTML.

    Characters beyond ASCII are escaped.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("ascii"), 6, mtime=0)).decode("ascii")


def _all(sources: Sequence[Source]) -> list[ShownAnswer]:
    return [answer for source in sources for answer in source.answers]


def _numbered(values: Iterable[Any]) -> tuple[list[int], list[Any]]:
    """A number for each value, and the different values in the order of their numbers."""
    numbers: dict[Any, int] = {}
    return [numbers.setdefault(value, len(numbers)) for value in values], list(numbers)


def _source(source: Source) -> dict[str, Any]:
    return {
        "name": source.name,
        "kind": source.kind,
        "place": str(source.path),
        "skipped": source.skipped,
        "notes": list(source.notes),
        "charts": [_chart(chart) for chart in source.charts],
    }


def _chart(chart: Chart) -> dict[str, Any]:
    told = asdict(chart)
    for series in told["series"]:
        for name in ("values", "low", "high"):
            series[name] = [_number(value) for value in series[name]]
    return told


def _answer(shown: ShownAnswer) -> dict[str, Any]:
    record = shown.record
    found: dict[str, Any] = {
        "name": shown.answer,
        "prompt": shown.prompt,
        "tokens": list(shown.tokens),
        "edits": [place for place, edit in enumerate(shown.is_edit) if edit],
        "text": shown.left,
        "scores": {name: _number(value) for name, value in shown.scores.items()},
    }
    if record is not None:
        found["ids"] = record.ids
        found["erasedAt"] = record.erased_at if record.events or not all(record.live) else None
        found["parent"] = record.parent if record.events or shown.starts else None
        found["events"] = [
            [event.start, event.stop, event.effective, event.erased, event.depth_before, event.depth_after]
            for event in record.events
        ]
    for name, values in (
        ("advantages", shown.advantages),
        ("logProbs", shown.log_probs),
        ("entropies", shown.entropies),
        ("editProbs", shown.edit_probs),
    ):
        if values is not None:
            found[name] = [_number(value) for value in values]
    if shown.starts is not None:
        found["starts"] = list(shown.starts)
    if shown.response_mask is not None:
        found["mask"] = [int(learns) for learns in shown.response_mask]
    if shown.event_values is not None:
        found["values"] = [[_number(value) for value in pair] for pair in shown.event_values]
    if shown.verdicts is not None:
        found["verdicts"] = [None if fine is None else int(fine) for fine in shown.verdicts]
    return found


def _advantage(shown: ShownAnswer) -> float | None:
    """The mean over the actions that learn, None where none does."""
    if shown.advantages is None or shown.response_mask is None:
        return None
    paid = zip(shown.advantages, shown.response_mask, strict=True)
    learning = [advantage for advantage, learns in paid if learns]
    return sum(learning) / len(learning) if learning else None


def _number(value: float | None) -> float | int | None:
    """Round a number to four digits; None for a number that is not finite, for which JSON has no form."""
    if value is None or not math.isfinite(value):
        return None
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() else rounded
