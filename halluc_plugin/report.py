"""Report what a training run learned: the first and the last validation, side by side.

This module reads the JSONL files that verl's ``file`` logger writes (one object a line: ``step`` and
``data``), one file for each start of the run, so that a resumed run is still compared with its true
beginning.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from halluc_plugin.jobs.phases import Phase, ShippedPhase
from halluc_plugin.metrics import wilson
from halluc_plugin.run_metrics import logged_records

# Reward-manager key -> what a reader calls it. The order is the table's.
ROWS = {
    "acc": "accuracy, backtracks applied",
    "acc_raw": "accuracy, text as sampled",
    "num_backtracks": "backtracks per answer",
    "num_erased": "erased tokens per answer",
    "raw_length": "sampled tokens per answer",
}


def _accuracy_interval(share: float | None, phase: Phase) -> str:
    return "" if share is None else "{:.1f} to {:.1f}".format(*(100 * end for end in wilson(share, phase.n)))


def _per_cent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


# Row -> its cell; a row without any cell is left out.
PHASE_ROWS: dict[str, Callable[[Phase], str]] = {
    "accuracy": lambda phase: _per_cent(phase.accuracy),
    "  95 % interval": lambda phase: _accuracy_interval(phase.accuracy, phase),
    "accuracy, token banned": lambda phase: _per_cent(phase.accuracy_banned),
    "  95 % interval of that": lambda phase: _accuracy_interval(phase.accuracy_banned, phase),
    "P(edit|dead)": lambda phase: _plain(phase.p_edit_dead),
    "P(edit|live)": lambda phase: _plain(phase.p_edit_live),
    "D, their difference": lambda phase: _plain(phase.d),
    "edits an answer": lambda phase: _plain(phase.backtracks),
    "tokens an answer": lambda phase: f"{phase.tokens:.1f}",
    "answers": lambda phase: str(phase.n),
    "temperature": lambda phase: f"{phase.temperature:g}",
}


@dataclass(frozen=True)
class Validation:
    """The means of one validation pass.

    Attributes:
        step: The global training step at which it ran; 0 is before training.
        means: For each data source, the mean of each key of the reward manager.
    """

    step: int
    means: dict[str, dict[str, float]]


def read_validations(metrics_dir: Path) -> list[Validation]:
    """Return all validation passes logged in a folder, by step; a repeated step keeps the latest.

    Raises:
        DataError: A line is not JSON as verl's file logger writes it.
    """
    found: dict[int, dict[str, dict[str, float]]] = {}
    for path in sorted(metrics_dir.glob("*.jsonl")):
        for record in logged_records(path):
            for source, means in _validation_means(record["data"]).items():
                found.setdefault(int(record["step"]), {})[source] = means
    return [Validation(step, found[step]) for step in sorted(found)]


def _validation_means(data: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Means by source and key; verl names them ``val-core|val-aux/<data source>/<key>/mean@<n>``."""
    found: dict[str, dict[str, float]] = {}
    for name, value in data.items():
        parts = name.split("/")
        if parts[0] in {"val-core", "val-aux"} and parts[-1].startswith("mean@") and len(parts) >= 4:
            found.setdefault("/".join(parts[1:-2]), {})[parts[-2]] = float(value)
    return found


def render(
    validations: list[Validation],
    answers: Mapping[str, int],
    where: Mapping[str, str],
    console: Console | None = None,
) -> None:
    """Print the closing table of a run.

    Args:
        validations: The passes that :func:`read_validations` returns.
        answers: The number of answers that a validation scored, by data source. Accuracies of other sources
            are printed without an interval.
        where: Paths or commands by label, printed below the table.
        console: The console to print to; standard output by default.
    """
    console = console or Console()
    if validations:
        console.print(_table(validations[0], validations[-1], answers))
    else:
        console.print("No validation was logged; set trainer.val_before_train=true and trainer.test_freq.")
    tell(where, console)


def tell(lines: Mapping[str, str], console: Console | None = None, heading: str = "") -> None:
    """Print labelled lines: paths, and commands to paste.

    Args:
        lines: Paths or commands by label.
        console: The console to print to; standard output by default.
        heading: A line that is printed above them.
    """
    console = console or Console()
    if heading:
        console.print(f"\n[bold]{heading}[/bold]", highlight=False)
    for label, value in lines.items():
        # As it is: rich's markup, emoji and line breaks would change a path.
        console.out(label, style="bold", end="  ", highlight=False)
        console.out(value, highlight=False)


def render_phases(phases: Mapping[str, Phase | ShippedPhase], console: Console | None = None) -> None:
    """Print the figures of several models side by side, one column for each.

    Args:
        phases: The figures by the name of their column. Shipped figures are marked as such.
        console: The console to print to; standard output by default.
    """
    table = Table(title="What the models are worth, on the same held-out problems")
    table.add_column("")
    columns = []
    for name, given in phases.items():
        shipped = isinstance(given, ShippedPhase)
        table.add_column(f"{name}\n(shipped)" if shipped else name, justify="right")
        columns.append(given.phase if isinstance(given, ShippedPhase) else given)
    for label, cell in PHASE_ROWS.items():
        cells = [cell(phase) for phase in columns]
        if any(cells):
            table.add_row(label, *cells)
    (console or Console()).print(table)


def _table(first: Validation, last: Validation, answers: Mapping[str, int]) -> Table:
    table = Table(title="What the run learned, on held-out problems")
    table.add_column("")
    table.add_column(f"step {first.step}", justify="right")
    table.add_column(f"step {last.step}", justify="right")
    for source in [source for source in first.means if source in last.means]:
        before, after, n = first.means[source], last.means[source], answers.get(source)
        table.add_section()
        table.add_row(f"[bold]{source}[/bold]" + (f", {n} answers" if n else ""))
        for key in [key for key in ROWS if key in before and key in after]:
            label = ROWS[key]
            cell: Callable[[float, int | None], str] = _number
            if key.startswith("acc"):
                # Another reward manager's "acc" may be a score on any scale: -1 and 1 of DAPO's, for example.
                if all(0 <= mean <= 1 for mean in (before[key], after[key])):
                    cell = _share
                else:
                    label = label.replace("accuracy", "mean score (no accuracy)")
            table.add_row(f"  {label}", cell(before[key], n), cell(after[key], n))
    return table


def _number(mean: float, _: int | None) -> str:
    return f"{mean:.2f}"


def _share(mean: float, answers: int | None) -> str:
    if answers is None:
        return f"{100 * mean:.1f} %"
    low, high = wilson(mean, answers)
    return f"{100 * mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
