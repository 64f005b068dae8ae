"""The tables and plots of the experiment."""

import math
from collections.abc import Sequence

from rich.table import Table

from halluc_plugin.recipes.credit.arms import ARMS
from halluc_plugin.recipes.plotting import Line, Plot
from halluc_plugin.recipes.tabulating import (
    Cell,
    accuracy,
    by_seed,
    correct_of,
    difference,
    grouped,
    markdown_table,
    mean,
    points,
)

EVERY = 10
"""Steps of a learning curve that are averaged."""


def accuracies(cells: Sequence[Cell]) -> Table:
    """Right answers before and after, with edits and without; and what the arm's factor changed."""
    table = markdown_table(
        "", "T=1, %", "seeds", "to its reference", "by seed", "edits banned", "with - banned",
        "greedy", "greedy, banned", "new targets, T=1", "seeds", "new, banned", "new, greedy",
    )  # fmt: skip
    groups = grouped(cells, "arm")
    for (arm,), group in groups.items():
        seen, new = ("seen", "T=1"), ("new", "T=1")
        reference = groups.get((ARMS[arm].reference,)) if arm in ARMS else None
        compared = "" if reference is None else difference(group, seen, reference, seen)
        by_itself = "" if reference is None else _by_seed(group, reference, *seen)
        table.add_row(
            arm, accuracy(group, *seen), by_seed(group, *seen), compared, by_itself,
            accuracy(group, "seen", "T=1, banned"),
            difference(group, seen, group, ("seen", "T=1, banned")),
            accuracy(group, "seen", "T=0"), accuracy(group, "seen", "T=0, banned"),
            accuracy(group, *new), by_seed(group, *new), accuracy(group, "new", "T=1, banned"),
            accuracy(group, "new", "T=0"),
        )  # fmt: skip
    return table


def backtracks(cells: Sequence[Cell]) -> Table:
    """How often and how well each takes back, at temperature 1."""
    names = {
        "event_precision": "precision",
        "event_recall": "recall",
        "bad_steps_erased": "bad steps erased",
        "good_steps_erased": "good steps erased",
        "success_after_backtrack": "next step right",
        "stutter_rate": "stutter",
    }
    table = markdown_table(
        "", "answers with a backtrack", *names.values(), "tokens", "new: precision", "new: recall"
    )
    for (arm,), group in grouped(cells, "arm").items():
        cell = [c["seen"]["T=1"] for c in group]
        shares = [_share(mean(cell, key)) for key in ("backtracked", *names)]
        new = [_share(mean(group, "new", "T=1", key)) for key in ("event_precision", "event_recall")]
        table.add_row(arm, *shares, f"{mean(cell, 'raw_length'):.1f}", *new)
    return table


def _by_seed(group: Sequence[Cell], reference: Sequence[Cell], *path: str) -> str:
    """Differences of the seeds that both have, in points."""
    others = {cell["seed"]: correct_of(cell, *path) for cell in reference}
    pairs = [(correct_of(c, *path), others[c["seed"]]) for c in group if c["seed"] in others]
    return ", ".join(f"{100 * (sum(ours) - sum(theirs)) / len(ours):+.1f}" for ours, theirs in pairs)


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f} %"


def sampled(cells: Sequence[Cell]) -> Table:
    """pass@k, maj@k, and the gain over the baseline's majority at equal tokens."""
    ks = list(cells[0]["pass"])
    table = markdown_table(
        "", *(f"pass@{k}" for k in ks), *(f"maj@{k}" for k in ks), "gain at equal tokens, points (seeds)"
    )
    for (arm,), group in grouped(cells, "arm").items():
        shares = [f"{100 * mean(group, kind, k, 'value'):.1f}" for kind in ("pass", "maj") for k in ks]
        shares[len(ks) - 1] += (
            " (" + ", ".join(f"{100 * c['pass'][ks[-1]]['value']:.1f}" for c in group) + ")"
        )
        matched = [cell["matched"] for cell in group if "matched" in cell]
        gains = [points(gain["value"], gain["low"], gain["high"]) for gain in matched]
        table.add_row(arm, *shares, "; ".join(gains))
    return table


def curves(cells: Sequence[Cell]) -> Plot:
    """Accuracy of the rollouts over steps."""
    lines = []
    for (arm,), group in grouped((cell for cell in cells if cell["curve"]), "arm").items():
        values: dict[str, list[float]] = {}
        for cell in group:
            curve = cell["curve"]
            for start in range(0, len(curve), EVERY):
                part = curve[start : start + EVERY]
                place = str(part[-1]["step"])
                values.setdefault(place, []).append(100 * sum(point["acc"] for point in part) / len(part))
        lines.append(Line(arm, values))
    return Plot(f"Rollouts, means of {EVERY} steps", "step of GRPO", "right, %", lines)


TABLES = {"accuracies": accuracies, "backtracks": backtracks, "sampled": sampled}
