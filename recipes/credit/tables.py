"""The tables and plots of the experiment."""

import math
from collections.abc import Mapping, Sequence

from rich.table import Table

from halluc_plugin.recipes.credit.arms import ARMS, Start
from halluc_plugin.recipes.lab.plotting import Line, Plot
from halluc_plugin.recipes.lab.tabulating import (
    Cell,
    accuracy,
    by_seed,
    difference,
    grouped,
    markdown_table,
    mean,
    over_seeds,
    points,
)

EVERY = 10
"""Steps of a learning curve that are averaged."""


def accuracies(cells: Sequence[Cell]) -> Table:
    """Return the table of accuracies before and after, with edits and without, and the factor's effect."""
    table = markdown_table(
        "", "T=1, %", "seeds", "to its reference", "over seeds", "to the baseline", "edits banned",
        "with - banned", "greedy", "greedy, banned",
        "new targets, T=1", "seeds", "new, banned", "new, greedy",
    )  # fmt: skip
    groups = grouped(cells, "arm")
    for (arm,), group in groups.items():
        seen, new = ("seen", "T=1"), ("new", "T=1")
        reference = _reference(groups, arm)
        compared = difference(group, seen, reference, seen) if reference else ""
        by_itself = over_seeds(group, reference, *seen)
        table.add_row(
            arm, accuracy(group, *seen), by_seed(group, *seen), compared, by_itself,
            over_seeds(group, _baseline(groups, arm), *seen),
            accuracy(group, "seen", "T=1, banned"),
            difference(group, seen, group, ("seen", "T=1, banned")),
            accuracy(group, "seen", "T=0"), accuracy(group, "seen", "T=0, banned"),
            accuracy(group, *new), by_seed(group, *new), accuracy(group, "new", "T=1, banned"),
            accuracy(group, "new", "T=0"),
        )  # fmt: skip
    return table


def backtracks(cells: Sequence[Cell]) -> Table:
    """Return the table of how often and how well each arm takes back, at temperature 1."""
    names = {
        "event_precision": "precision",
        "event_recall": "recall",
        "bad_steps_erased": "bad steps erased",
        "good_steps_erased": "good steps erased",
        "success_after_backtrack": "next step right",
        "stutter_rate": "stutter",
    }
    compared = ("event_precision", "event_recall")
    table = markdown_table(
        "", "answers with a backtrack", *names.values(), "tokens", "new: precision", "new: recall",
        *(f"{names[key]} to its reference, over seeds" for key in compared),
    )  # fmt: skip
    groups = grouped(cells, "arm")
    for (arm,), group in groups.items():
        cell = [c["seen"]["T=1"] for c in group]
        reference = _reference(groups, arm)
        shares = [_share(mean(cell, key)) for key in ("backtracked", *names)]
        new = [_share(mean(group, "new", "T=1", key)) for key in ("event_precision", "event_recall")]
        gained = [over_seeds(group, reference, "seen", "T=1", key) for key in compared]
        table.add_row(arm, *shares, f"{mean(cell, 'raw_length'):.1f}", *new, *gained)
    return table


def _reference(groups: Mapping[tuple[str, ...], Sequence[Cell]], arm: str) -> Sequence[Cell]:
    """The cells that an arm is compared with: of its reference, or of the model that it comes from."""
    if arm not in ARMS:
        return ()
    return groups.get((ARMS[arm].reference or f"start, {ARMS[arm].start}",), ())


def _baseline(groups: Mapping[tuple[str, ...], Sequence[Cell]], arm: str) -> Sequence[Cell]:
    """The cells without the token at equal compute: before RL of a start, after it of an arm."""
    start = ARMS[arm].start if arm in ARMS else Start(arm.removeprefix("start, "))
    baseline = start.baseline if arm in ARMS else f"start, {ARMS[start.baseline].start}"
    return () if arm == baseline else groups.get((baseline,), ())


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f} %"


def sampled(cells: Sequence[Cell]) -> Table:
    """Return the table of pass@k, maj@k, and the gain over the baseline's majority at equal tokens."""
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


def moved(cells: Sequence[Cell]) -> Table:
    """Return the table of shares of groups with an advantage, and of those that each paid part changes."""
    groups = {arm: group for (arm,), group in grouped(cells, "arm").items() if group[0]["moved"]}
    parts = list(dict.fromkeys(part for group in groups.values() for part in group[0]["moved"]))
    table = markdown_table(
        "", *("groups with an advantage, %" if part == "groups" else part for part in parts)
    )
    for arm, group in groups.items():
        shares = [
            ", ".join(f"{100 * cell['moved'][part]:.1f}" for cell in group if part in cell["moved"])
            for part in parts
        ]
        table.add_row(arm, *shares)
    return table


def curves(cells: Sequence[Cell]) -> Plot:
    """Return the plot of the accuracy of the rollouts over steps."""
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


TABLES = {"accuracies": accuracies, "backtracks": backtracks, "sampled": sampled, "moved": moved}
