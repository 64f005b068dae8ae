"""The tables of figures 4 to 9 and of equal FLOPs, from what was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from halluc_plugin.metrics import Proportion, paired_difference
from halluc_plugin.recipes.lab.tabulating import (
    Cell,
    Group,
    accuracy,
    by_seed,
    grouped,
    markdown_table,
    mean,
    over_seeds,
    percent,
    points,
)
from halluc_plugin.recipes.prm_backtracking.searching import (
    FIRST,
    LEARNED,
    MIN,
    ORACLE,
    RANDOM,
    REVISED,
)

OF_ORACLE = (f"{ORACLE}, {MIN}", f"{ORACLE}, {FIRST}", f"{ORACLE}, {RANDOM}")
OF_LEARNED = (f"{LEARNED}, {MIN}", "in-context, min-advantage", f"{LEARNED}, {FIRST}", f"{LEARNED}, {RANDOM}")
MILLION = 1e6


def named(cells: Sequence[Cell], name: str) -> list[Cell]:
    """Return the cells of a name, one for each seed that has it."""
    return [cell for cell in cells if cell["name"] == name]


def compact(cell: Cell) -> dict[str, Any]:
    """Return a cell as it is kept beside results: figures in four digits, and no answers of the policy."""
    found = {key: _rounded(value) for key, value in cell.items() if key != "answers"}
    if "answers" in cell:
        found["wrong"] = sum(not answer["correct"] for answer in cell["answers"])
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        # The 0 or 1 of each answer as a text of digits, which is a third as long.
        return {key: "".join(map(str, of)) if key == "correct" else _rounded(of) for key, of in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def policies(cells: Sequence[Cell]) -> Table:
    """Tabulate what policies can do, and how many answers were wrong."""
    table = markdown_table(
        "", "right at T = 1, %", "seeds", "wrong first answers", "token: answers with an edit"
    )
    for (task,), group in grouped(named(cells, "first"), "task").items():
        share = Proportion.of(sum(c["right"] for c in group), sum(c["asked"] for c in group))
        seeds = ", ".join(f"{100 * c['right'] / c['asked']:.1f}" for c in group)
        wrong = ", ".join(str(sum(not a["correct"] for a in c["answers"])) for c in group)
        edited = ", ".join(f"{100 * c['edited']:.0f} %" for c in named(cells, "token") if c["task"] == task)
        table.add_row(task, percent(share), seeds, wrong, edited)
    return table


def scorers(cells: Sequence[Cell]) -> Table:
    """Tabulate figures 4 and 7: outcome accuracy on right and wrong first answers, and errors of steps.

    The last columns are what scorers say of the bare prompt, which is the value that step 1 is compared with.
    """
    table = markdown_table(
        "", "scorer", "right, %", "seeds", "wrong, %", "seeds", "MSE of steps", "seeds", "ECE",
        "AUROC of the first error", "bare prompt: value, oracle's", "MSE",
    )  # fmt: skip
    for (task,), group in grouped(named(cells, "quality"), "task").items():
        for name in group[0]["scorers"]:
            at = [cell["scorers"][name] for cell in group]
            table.add_row(
                task, name, accuracy(at, "right"), by_seed(at, "right"), accuracy(at, "wrong"),
                by_seed(at, "wrong"), f"{mean(at, 'mse'):.3f}", ", ".join(f"{c['mse']:.3f}" for c in at),
                f"{mean(at, 'ece'):.3f}", f"{mean(at, 'first_error_auroc'):.3f}",
                f"{mean(at, 'prompt', 'value'):.2f}, {mean(at, 'prompt', 'oracle'):.2f}",
                f"{mean(at, 'prompt', 'mse'):.3f}",
            )  # fmt: skip
    return table


def revisions(cells: Sequence[Cell]) -> Table:
    """Tabulate figure 6: wrong first answers that are right after all revisions, and what it took."""
    table = markdown_table(
        "", "revised by", "right, %", "seeds", "to the first step", "over seeds", "to a random step",
        "over seeds", "tokens", "with rollouts",
    )  # fmt: skip
    for (task,), group in grouped([c for c in cells if c["name"] in REVISED], "task").items():
        for name in REVISED:
            ours = _last(named(group, name), "wrong")
            if not ours:
                continue
            source = ORACLE if name.split(", ")[0] in {ORACLE, "reachability"} else LEARNED
            compared = []
            for arm in (FIRST, RANDOM):
                other = _last(named(group, f"{source}, {arm}"), "wrong")
                both = name.endswith(MIN) and [c["seed"] for c in ours] == [c["seed"] for c in other]
                compared += [_paired(ours, other), over_seeds(ours, other)] if both else ["", ""]
            rollouts = mean(ours, "rollout_tokens")
            table.add_row(
                task, name, accuracy(ours), by_seed(ours), *compared,
                f"{mean(ours, 'tokens'):.0f}", f"{mean(ours, 'tokens') + rollouts:.0f}",
            )  # fmt: skip
    return table


def _last(group: Group, which: str, checkpoint: int = -1) -> list[Cell]:
    """The last checkpoint of cells, as cells."""
    found: list[Cell] = []
    for cell in group:
        if not cell[which]:
            continue  # no first answer of this kind in this seed
        at = cell[which][checkpoint]
        rollouts = cell.get("rollouts", {}).get(which, [0, 0])
        found.append(
            {**at, "seed": cell["seed"], "correct": [int(c) for c in at["correct"]],
             "rollout_tokens": rollouts[0]}
        )  # fmt: skip
    return found


def _paired(group: Group, other: Group) -> str:
    ours, theirs = ([value for cell in of for value in cell["correct"]] for of in (group, other))
    found = paired_difference(ours, theirs)
    return points(found.value, found.low, found.high)


def curve(cell: Cell, source: str | None, which: str = "all", *, rollouts: bool = False) -> list[list[float]]:
    """Return FLOPs, tokens and accuracy at each checkpoint of a cell.

    Args:
        cell: The cell of an arm.
        source: The scorer by which an arm ranks samples; None for arms that revise.
        which: All problems, or those with a wrong first answer.
        rollouts: Whether the oracle's count.
    """
    part = cell if source is None else cell[source]
    tokens, flops = cell.get("rollouts", {}).get(which, [0, 0]) if rollouts else (0, 0)
    return [
        [at["flops"] + flops, at["tokens"] + tokens, at["correct"].count("1") / max(1, len(at["correct"]))]
        for at in part[which]
    ]


def arms_of(source: str) -> dict[str, tuple[str, str | None]]:
    """Return the arms that are compared under a scorer: label, name of the cells, and part of them."""
    revised = (*OF_ORACLE, "reachability, min-advantage") if source == ORACLE else OF_LEARNED
    return {
        **{name: (name, None) for name in revised},
        f"{source}, best-of-N": ("best-of-N", source),
        f"{source}, token": ("token", source),
    }


def at_flops(curve_: Sequence[Sequence[float]], budget: float) -> float:
    """Interpolate accuracy at so many FLOPs; after the last checkpoint it stays."""
    flops, _, right = zip(*curve_, strict=True)
    return float(np.interp(budget, flops, right))


def equal_flops(cells: Sequence[Cell]) -> Table:
    """Tabulate the accuracy of each arm on all problems at the FLOPs of revision from the minimum step."""
    table = markdown_table(
        "", "arm", "MFLOPs", "right, %", "seeds", "min-advantage less this, over seeds", "FLOPs reached, %"
    )
    for (task,), group in grouped([c for c in cells if c["name"] != "first"], "task").items():
        for source, counted in ((ORACLE, False), (ORACLE, True), (LEARNED, False)):
            _equal_rows(table, task, group, source, rollouts=counted)
    return table


def _equal_rows(table: Table, task: str, group: Group, source: str, *, rollouts: bool) -> None:
    ours = {c["seed"]: curve(c, None, rollouts=rollouts) for c in named(group, f"{source}, {MIN}")}
    budgets = {seed: found[-1][0] for seed, found in ours.items()}
    reference = [{"seed": seed, "share": at_flops(found, budgets[seed])} for seed, found in ours.items()]
    for label, (name, part) in arms_of(source).items():
        curves = {c["seed"]: curve(c, part, rollouts=rollouts) for c in named(group, name)}
        curves = {seed: found for seed, found in curves.items() if seed in budgets}
        if not curves:
            continue
        shares = [{"seed": s, "share": at_flops(found, budgets[s])} for s, found in curves.items()]
        ends = [found[-1][0] / budgets[seed] for seed, found in curves.items()]
        shown = [f"{100 * one['share']:.1f}" for one in shares]
        of = [budgets[seed] / MILLION for seed in curves]
        less = "" if label == f"{source}, {MIN}" else over_seeds(reference, shares, "share")
        table.add_row(
            task, label + (", rollouts counted" if rollouts else ""), f"{sum(of) / len(of):.0f}",
            f"{100 * mean(shares, 'share'):.1f}", ", ".join(shown), less,
            f"{100 * min(1.0, sum(ends) / len(ends)):.0f}",
        )  # fmt: skip


def kept(cells: Sequence[Cell]) -> Table:
    """Tabulate how much of the oracle's gain on wrong first answers learned scorers keep."""
    table = markdown_table("", "scorer", "gain of the oracle, points", "of the scorer", "kept, %", "seeds")
    for (task,), group in grouped([c for c in cells if c["name"] in REVISED], "task").items():
        gains = {name: _gains(named(group, name)) for name in (OF_ORACLE[0], *OF_LEARNED[:2])}
        of_oracle = gains[OF_ORACLE[0]]
        for name in OF_LEARNED[:2]:
            both = sorted(of_oracle.keys() & gains[name].keys())
            if not both:
                continue
            exact, ours = (sum(g[s] for s in both) / len(both) for g in (of_oracle, gains[name]))
            shares = [f"{100 * gains[name][s] / of_oracle[s]:.0f}" for s in both if of_oracle[s]]
            table.add_row(
                task, name, f"{100 * exact:.1f}", f"{100 * ours:.1f}",
                f"{100 * ours / exact:.0f}" if exact else "", ", ".join(shares),
            )  # fmt: skip
    return table


def _gains(group: Group) -> Mapping[int, float]:
    found: dict[int, float] = {}
    for cell in group:
        if not cell["wrong"]:
            continue  # nothing was wrong in this seed
        (*_, before), (*_, after) = (curve(cell, None, "wrong")[at] for at in (0, -1))
        found[cell["seed"]] = after - before
    return found


TABLES: dict[str, Any] = {
    "policies": policies,
    "scorers": scorers,
    "revisions": revisions,
    "equal_flops": equal_flops,
    "kept": kept,
}
