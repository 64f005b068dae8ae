"""The common parts of all experiments' tables: pooled shares, each seed by itself, paired differences."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from rich.box import MARKDOWN
from rich.table import Table

from halluc_plugin.metrics import Proportion, paired_difference

Cell = Mapping[str, Any]
Group = Sequence[Cell]


def grouped(cells: Iterable[Cell], *keys: str) -> dict[tuple[Any, ...], list[Cell]]:
    """Return the cells of all seeds grouped by these keys, in the order in which they occur."""
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(tuple(cell[key] for key in keys), []).append(cell)
    return groups


def accuracy(group: Group, *path: str) -> str:
    """Return the share of right answers of all seeds in %, with its interval."""
    return percent(Proportion.of(sum(values := pooled(group, *path)), len(values)))


def percent(share: Proportion) -> str:
    """Return a share in % with its interval."""
    return f"{100 * share.value:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def by_seed(group: Group, *path: str) -> str:
    """Return the accuracy of each seed in %."""
    values = (correct_of(cell, *path) for cell in group)
    return ", ".join(f"{100 * sum(correct) / len(correct):.1f}" for correct in values)


def pooled(group: Group, *path: str) -> list[int]:
    """Return the 0 or 1 of each problem of each seed."""
    return list(chain.from_iterable(correct_of(cell, *path) for cell in group))


def difference(group: Group, path: Sequence[str], other: Group, other_path: Sequence[str]) -> str:
    """Return the paired difference of accuracies in points, with its interval."""
    found = paired_difference(pooled(group, *path), pooled(other, *other_path))
    return points(found.value, found.low, found.high)


def points(value: float, low: float, high: float) -> str:
    """Return a difference of shares in points, with its interval."""
    return f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def mean(group: Group, *path: str) -> float:
    """Return the mean of a number over seeds."""
    total = 0.0
    for cell in group:
        at: Any = cell
        for key in path:
            at = at[key]
        total += at
    return total / len(group)


def over_seeds(group: Group, other: Group, *path: str) -> str:
    """Return the mean difference over the seeds that both have, in points, ± half its 95 % interval.

    Student's t over seeds: it bounds the mean of which these seeds are a sample, and not what one more seed
    would give. Shares of right answers are found in ``correct``; a seed without a value (nan) has no part in
    it, and a single one has no interval.
    """
    others = {cell["seed"]: _number(cell, *path) for cell in other}
    found = [_number(cell, *path) - others[cell["seed"]] for cell in group if cell["seed"] in others]
    differences = [100 * value for value in found if not math.isnan(value)]
    if not differences:
        return ""
    value = f"{statistics.fmean(differences):+.1f}"
    if len(differences) == 1:
        return value
    from scipy.stats import t

    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return f"{value} ± {t.ppf(0.975, len(differences) - 1) * error:.1f}"


def _number(cell: Cell, *path: str) -> float:
    at: Any = cell
    for key in path:
        at = at[key]
    return statistics.fmean(at["correct"]) if isinstance(at, Mapping) else float(at)


def markdown_table(*headings: str) -> Table:
    """Return an empty table with these columns; names are left-aligned, figures right-aligned."""
    table = Table(box=MARKDOWN)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in {"", "selected by"} else "right", no_wrap=True)
    return table


def correct_of(cell: Mapping[str, Any], *path: str) -> list[int]:
    """Return the 0 or 1 of each problem at a place in a cell."""
    at: Any = cell
    for key in path:
        at = at[key]
    values: list[int] = at["correct"]
    return values
