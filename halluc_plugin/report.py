"""What a training run learned: the first and the last validation, side by side.

Reads the JSONL files that verl's ``file`` logger writes (one object a line: ``step`` and ``data``), one
file for each start of the run, so that a resumed run is still compared with its true beginning.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from halluc_plugin.errors import DataError

# Reward-manager key -> what a reader calls it. The order is the table's.
ROWS = {
    "acc": "accuracy, backtracks applied",
    "acc_raw": "accuracy, text as sampled",
    "num_backtracks": "backtracks per answer",
    "num_erased": "erased tokens per answer",
    "raw_length": "sampled tokens per answer",
}


@dataclass(frozen=True)
class Validation:
    """Means over one validation pass.

    Attributes:
        step: Global training step it was taken at; 0 is before training.
        means: Mean of each reward-manager key, averaged over data sources.
    """

    step: int
    means: dict[str, float]


def read_validations(metrics_dir: Path) -> list[Validation]:
    """All validation passes logged under ``metrics_dir``, by step; a repeated step keeps the latest.

    Raises:
        DataError: A line is not the JSON that verl's file logger writes.
    """
    found: dict[int, Validation] = {}
    for path in sorted(metrics_dir.glob("*.jsonl")):
        for record in _records(path):
            means = _validation_means(record["data"])
            if means:
                found[int(record["step"])] = Validation(int(record["step"]), means)
    return [found[step] for step in sorted(found)]


def _records(path: Path) -> Iterator[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):  # a run that was stopped may leave half a line
                return
            raise DataError(
                f"{path}, line {number} is not JSON ({error}).",
                "Move the file away; the report reads the others.",
            ) from error


def _validation_means(data: dict[str, Any]) -> dict[str, float]:
    """Means by reward key; verl names them ``val-core|val-aux/<data source>/<key>/mean@<n>``."""
    sums: dict[str, list[float]] = {}
    for name, value in data.items():
        parts = name.split("/")
        if parts[0] in {"val-core", "val-aux"} and parts[-1].startswith("mean@") and len(parts) >= 4:
            sums.setdefault(parts[-2], []).append(float(value))
    return {key: sum(values) / len(values) for key, values in sums.items()}


def render(
    validations: list[Validation], answers: int | None, where: dict[str, str], console: Console | None = None
) -> None:
    """Print the closing table.

    Args:
        validations: As :func:`read_validations` returns them.
        answers: How many answers each validation scored, None if unknown.
        where: Label to path or command, printed below the table.
        console: Where to print; standard output by default.
    """
    console = console or Console()
    if validations:
        first, last = validations[0], validations[-1]
        held_out = f" on {answers} held-out problems" if answers else ""
        table = Table(title=f"What the run learned{held_out}")
        table.add_column("")
        table.add_column(f"step {first.step}", justify="right")
        table.add_column(f"step {last.step}", justify="right")
        for key, label in ROWS.items():
            if key in first.means and key in last.means:
                table.add_row(
                    label, _cell(key, first.means[key], answers), _cell(key, last.means[key], answers)
                )
        console.print(table)
    else:
        console.print("No validation was logged; set trainer.val_before_train=true and trainer.test_freq.")
    for label, value in where.items():
        console.print(f"[bold]{label}[/bold]  {value}", soft_wrap=True, highlight=False)


def _cell(key: str, mean: float, answers: int | None) -> str:
    if not key.startswith("acc"):
        return f"{mean:.2f}"
    if answers is None:
        return f"{100 * mean:.1f} %"
    from halluc_plugin.metrics import wilson

    low, high = wilson(mean, answers)
    return f"{100 * mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
