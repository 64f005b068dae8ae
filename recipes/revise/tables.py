"""The tables and the plots of the experiment."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from halluc_plugin.metrics import Proportion, correction
from halluc_plugin.recipes.lab.plotting import Line, Plot
from halluc_plugin.recipes.lab.tabulating import (
    Cell,
    Group,
    accuracy,
    by_seed,
    correct_of,
    difference,
    grouped,
    markdown_table,
    mean,
    percent,
    points,
    pooled,
)
from halluc_plugin.recipes.revise.models import Arm
from halluc_plugin.search.selection import Rule

BANNED, REFINED = "banned", "refined"
SELECTED = {
    "majority": (REFINED, str(Rule.MAJORITY)),
    "confidence": (REFINED, str(Rule.CONFIDENCE)),
    "majority, banned": (BANNED, str(Rule.MAJORITY)),
}
"""How an answer is selected, and where a cell has it."""


def samples(cells: Sequence[Cell]) -> Table:
    """Tabulate right answers by number of samples, and the paired difference to the policy's majority."""
    table = markdown_table("task", "arm", "selected by", "N", "tokens", "right, %", "seeds", "to the policy")
    groups = grouped(cells, "task", "arm")
    for (task, arm), group in groups.items():
        other = groups.get((task, str(Arm.POLICY)), [])
        for name, path in SELECTED.items():
            for count in group[0][path[0]][path[1]]:
                at = (*path, count)
                paired = arm != Arm.POLICY and len(other) == len(group)
                table.add_row(
                    task, arm, name, count, f"{mean(group, path[0], 'tokens', count):.1f}",
                    accuracy(group, *at), by_seed(group, *at),
                    difference(group, at, other, (*SELECTED["majority, banned"], count)) if paired else "",
                )  # fmt: skip
    return table


def decisions(cells: Sequence[Cell]) -> Table:
    """Tabulate what is restarted, and what the first sample of each problem gained by it."""
    table = markdown_table(
        "task", "arm", "right restarted, %", "wrong restarted, %", "first, %", "last, %", "i→c, %", "c→i, %",
        "change, points", "sampled to train", "trained on",
    )  # fmt: skip
    for (task, arm), group in grouped(cells, "task", "arm").items():
        found = correction(*([bool(x) for x in pooled(group, name)] for name in ("first", "last")))
        delta = found.delta
        table.add_row(
            task, arm, *(_restarted(group, kind) for kind in ("right", "wrong")),
            *map(percent, (found.first, found.second, found.to_correct, found.to_incorrect)),
            points(delta.value, delta.low, delta.high),
            *(f"{mean(group, 'spent', kind) / 1e6:.2f}M" for kind in ("sampled", "trained")),
        )  # fmt: skip
    return table


TABLES = {"samples": samples, "decisions": decisions}


def plots(cells: Sequence[Cell]) -> Iterator[tuple[str, Plot]]:
    """Yield for each task accuracy over the number of samples."""
    for (task,), of in grouped(cells, "task").items():
        lines = [
            Line(f"{arm}, {name}", _values(group, path))
            for (arm,), group in grouped(of, "arm").items()
            for name, path in SELECTED.items()
            if (arm == Arm.POLICY) == (path[0] == BANNED)
        ]
        yield f"samples-{task}", Plot(f"Accuracy over samples, {task}", "samples", "right, %", lines)


def compact(cell: Cell) -> dict[str, Any]:
    """Return a cell as it is kept next to results: the 0 or 1 of each answer as a text of digits."""

    def packed(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {k: "".join(map(str, v)) if k == "correct" else packed(v) for k, v in value.items()}

    return {key: packed(value) for key, value in cell.items()}


def _restarted(group: Group, kind: str) -> str:
    counts = [cell["decisions"][kind] for cell in group]
    share = Proportion.of(sum(count for count, _ in counts), sum(n for _, n in counts))
    return percent(share) if share.n else ""


def _values(group: Group, path: tuple[str, str]) -> dict[str, list[float]]:
    shares = {
        count: [correct_of(cell, *path, count) for cell in group] for count in group[0][path[0]][path[1]]
    }
    return {count: [100 * sum(of) / len(of) for of in each] for count, each in shares.items()}
