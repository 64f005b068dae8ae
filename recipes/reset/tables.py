"""The tables and the plot of the experiment."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from halluc_plugin.metrics import Proportion, Ratio, unpaired_ratio
from halluc_plugin.recipes.lab.plotting import Line, Plot
from halluc_plugin.recipes.lab.tabulating import (
    Cell,
    Group,
    accuracy,
    by_seed,
    difference,
    grouped,
    markdown_table,
    mean,
    percent,
    pooled,
)
from halluc_plugin.recipes.reset.models import Arm

PAPERS_RATIO = 6.1 / 1.5
"""Violations of Llama-3-8B without resets over those with them (arXiv 2409.14586)."""


def violations(cells: Sequence[Cell]) -> Table:
    """Tabulate harmful answers to prompts that invite harm, with resets and without, and their ratio."""
    table = markdown_table(
        "", "attack", "n", "harmful, %", "seeds", "resets banned, %", f"ratio (paper {PAPERS_RATIO:.1f})",
        "clean SFT, %", "ratio", "answers with a reset, %", "tokens", "banned",
    )  # fmt: skip
    groups = {arm: group for (arm,), group in grouped(cells, "arm").items()}
    for arm, group in groups.items():
        for attack in group[0]["inviting"]:
            where = ("inviting", attack)
            harm = _share(group, *where, "resets", "harm")
            banned = _share(group, *where, "banned", "harm")
            clean = _share(groups[Arm.CLEAN], *where, "resets", "harm") if Arm.CLEAN in groups else None
            table.add_row(
                arm, attack, str(harm.n), percent(harm), by_seed(group, *where, "resets", "harm"),
                percent(banned), times(unpaired_ratio(banned, harm)),
                "" if clean is None else percent(clean),
                "" if clean is None else times(unpaired_ratio(clean, harm)),
                accuracy(group, *where, "resets", "reset"),
                f"{mean(group, *where, 'resets', 'tokens'):.1f}",
                f"{mean(group, *where, 'banned', 'tokens'):.1f}",
            )  # fmt: skip
    return table


def harmless(cells: Sequence[Cell]) -> Table:
    """Tabulate answers to harmless prompts: resets, refusals beside clean SFT, right answers and cost."""
    table = markdown_table(
        "", "n", "reset, %", "seeds", "refused, %", "to clean SFT, points", "right, %", "banned, %",
        "to clean SFT, points", "tokens", "banned",
    )  # fmt: skip
    groups = {arm: group for (arm,), group in grouped(cells, "arm").items()}
    for arm, group in groups.items():
        at = ("harmless", "resets")
        other = groups.get(Arm.CLEAN)
        compared = arm not in {Arm.PLAIN, Arm.CLEAN} and other is not None and len(other) == len(group)
        table.add_row(
            arm, str(_share(group, *at, "reset").n),
            accuracy(group, *at, "reset"), by_seed(group, *at, "reset"),
            accuracy(group, *at, "refused"),
            difference(group, (*at, "refused"), other or (), (*at, "refused")) if compared else "",
            accuracy(group, *at, "right"), accuracy(group, "harmless", "banned", "right"),
            difference(group, (*at, "right"), other or (), (*at, "right")) if compared else "",
            f"{mean(group, *at, 'tokens'):.1f}", f"{mean(group, 'harmless', 'banned', 'tokens'):.1f}",
        )  # fmt: skip
    return table


def calibration(cells: Sequence[Cell]) -> Table:
    """Tabulate harmful answers to the calibration problems by the bias, and the bias that was chosen."""
    biases = list(next(iter(cells[0]["calibration"].values())))
    table = markdown_table("", "attack", "seed", *(f"{float(bias):g} nats, %" for bias in biases), "chosen")
    for cell in cells:
        for attack, found in cell["calibration"].items():
            shares = (f"{100 * found[bias]:.1f}" for bias in biases)
            table.add_row(cell["arm"], attack, str(cell["seed"]), *shares, f"{cell['bias'][attack]:g}")
    return table


TABLES = {"violations": violations, "harmless": harmless, "calibration": calibration}


def plot(cells: Sequence[Cell]) -> Plot:
    """Return the plot of harmful answers by attack, a line for each arm, and for those that may not reset."""
    lines = []
    for (arm,), group in grouped(cells, "arm").items():
        for how in ("resets", "banned") if arm in {Arm.RESET, Arm.LATE, Arm.PREFERRED} else ("resets",):
            values = {
                attack: [_percent(cell, attack, how) for cell in group] for attack in group[0]["inviting"]
            }
            lines.append(Line(arm if how == "resets" else f"{arm}, resets banned", values))
    return Plot("Harmful answers to prompts that invite harm", "attack", "harmful, %", lines)


def compact(cell: Cell) -> dict[str, Any]:
    """Return a cell as it is kept beside results: the 0 or 1 of each answer as a text of digits."""

    def packed(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {k: "".join(map(str, v)) if k == "correct" else packed(v) for k, v in value.items()}

    return {key: packed(value) for key, value in cell.items()}


def times(ratio: Ratio) -> str:
    """Return a ratio with its interval; without a value where the second share is 0."""
    value = "" if ratio.value == float("inf") else f"{ratio.value:.1f} "
    return f"{value}[{ratio.low:.1f}, {ratio.high:.1f}]"


def _share(group: Group, *path: str) -> Proportion:
    values = pooled(group, *path)
    return Proportion.of(sum(values), len(values))


def _percent(cell: Cell, attack: str, how: str) -> float:
    return 100 * _share([cell], "inviting", attack, how, "harm").value
