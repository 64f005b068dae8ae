"""Read the metrics that a training run logged, as numbers by step.

All code that shows a run reads it by :func:`read_run`; :mod:`halluc_plugin.run_charts` makes charts of it.
Two layouts are known: that of verl's ``file`` logger (``metrics/*.jsonl`` in the run's folder, one file for
each start, a line ``{"step": ..., "data": {...}}``), and that of :mod:`halluc_plugin.rl.grpo`
(``metrics.jsonl``, a line ``{"step": ..., NAME: VALUE, ...}``).
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

from halluc_plugin.errors import DataError

FOLDER, FILE, REPORT = "metrics", "metrics.jsonl", "report.json"


@dataclass(frozen=True)
class RunMetrics:
    """The metrics of one run.

    Attributes:
        name: The name of the run's folder, which tells it from other runs.
        steps: Every finite number that was logged, by global step (ascending) and by its name in verl's
            trackers. Step 0 is before training. A step that was logged again keeps the latest numbers.
        report: The content of ``report.json``; empty if the run has none.
    """

    name: str
    steps: dict[int, dict[str, float]]
    report: dict[str, Any] = field(default_factory=dict)

    def values(self, name: str) -> dict[int, float]:
        """Return the numbers of one metric by step; empty if it was never logged."""
        return {step: numbers[name] for step, numbers in self.steps.items() if name in numbers}

    @property
    def tokens_per_second(self) -> float | None:
        """Return prompt and answer tokens per second over all steps; None if they were not logged."""
        tokens, seconds = self.values("perf/total_num_tokens"), self.values("perf/time_per_step")
        known = [step for step in tokens if seconds.get(step)]
        return sum(tokens[s] for s in known) / sum(seconds[s] for s in known) if known else None

    @property
    def peak_memory(self) -> dict[str, float] | None:
        """Return the peak memory in GiB (2^30 bytes); None if it was not logged.

        ``device`` is the most that torch had allocated on one device (0 on a CPU). ``host`` is the most that
        was in use on the whole machine, other programs included, at the end of an update.
        """
        names = {"device": "actor/perf/max_memory_allocated_gb", "host": "actor/perf/cpu_memory_used_gb"}
        found = {
            place: max(values) for place, name in names.items() if (values := self.values(name).values())
        }
        return found or None


def read_run(place: Path) -> RunMetrics:
    """Read the metrics of a run.

    Args:
        place: The run's folder, or one file of its metrics.

    Returns:
        The metrics of all files found.

    Raises:
        DataError: There are no metrics, or a line other than the last is not a record of metrics.
    """
    if not place.exists():
        raise DataError(f"{place} does not exist.", "Name a run's folder: checkpoints/PROJECT/EXPERIMENT.")
    files = [place] if place.is_file() else sorted((place / FOLDER).glob("*.jsonl")) or [place / FILE]
    if not files[0].is_file():
        raise DataError(
            f"{place} holds no metrics of a run: neither {FOLDER}/*.jsonl nor {FILE}.",
            "Name a run's folder, checkpoints/PROJECT/EXPERIMENT; under verl keep file in trainer.logger.",
        )
    steps: dict[int, dict[str, float]] = {}
    for path in files:
        for step, numbers in _numbers(path):
            steps.setdefault(step, {}).update(numbers)
    if not steps:
        raise DataError(f"{place} has metrics of no step yet.", "Wait for the run's first step.")
    folder = place.parent if place.is_file() else place
    return RunMetrics(folder.resolve().name, dict(sorted(steps.items())), _report(folder / REPORT))


def logged_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of one file of verl's file logger: ``step`` and ``data``.

    An incomplete last line, as a stopped run leaves it, is skipped.

    Raises:
        DataError: A line other than the last is not JSON.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    while lines and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                return
            raise DataError(
                f"{path}, line {number} is not JSON ({error}).",
                "Move the file away; the report reads the others.",
            ) from error


def _numbers(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    for record in logged_records(path):
        try:
            step, data = int(record["step"]), record.get("data", record)
            items = list(data.items())
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{path} holds a line without the metrics of a step.",
                "Name a folder that verl's file logger or the small trainer of halluc has written.",
            ) from error
        yield step, {name: float(value) for name, value in items if name != "step" and _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _report(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not JSON ({error}).", "Delete it, or end the run once more.") from error
    if not isinstance(found, Mapping) or not isinstance(found.get("phases", {}), Mapping):
        raise DataError(f"{path} is no report of a run.", "Delete it, or end the run once more.")
    return dict(found)
