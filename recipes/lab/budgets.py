"""Tables, curves and effects of arms that answer within budgets of sampled tokens, compared with one of them.

A cell has ``task``, ``seed``, ``arm``, ``spent``, and ``budgets`` with ``correct``, ``tokens`` and
``samples`` at each.
"""

from collections.abc import Iterator, Sequence

from rich.table import Table

from halluc_plugin.metrics import paired_difference
from halluc_plugin.recipes.lab.forest import Effect
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
    over_seeds,
    pooled,
)


def budgets(cells: Sequence[Cell], against: str, *, more: Sequence[str] = ()) -> Table:
    """Tabulate right answers at each budget, and the paired difference to one arm there.

    Args:
        cells: The cells.
        against: The arm.
        more: Further means of a cell at a budget, by their keys.
    """
    table = markdown_table(
        "task",
        "arm",
        "budget",
        "tokens",
        "samples",
        *more,
        "right, %",
        "seeds",
        f"to {against}",
        "over seeds",
    )
    groups = grouped(cells, "task", "arm")
    for (task, arm), group in groups.items():
        ours, other = _of_both(group, groups.get((task, against), []))
        for budget in group[0]["budgets"]:
            at = ("budgets", budget)
            paired = arm != against and bool(other)
            table.add_row(
                task, arm, budget, f"{mean(group, *at, 'tokens'):.1f}", f"{mean(group, *at, 'samples'):.1f}",
                *(f"{mean(group, *at, key):.1f}" for key in more), accuracy(group, *at), by_seed(group, *at),
                difference(ours, at, other, at) if paired else "",
                over_seeds(ours, other, *at) if paired else "",
            )  # fmt: skip
    return table


def _of_both(group: Group, other: Group) -> tuple[Group, Group]:
    """The cells of the seeds that both have, in one order: each seed has problems of its own."""
    by_seed_of = [{cell["seed"]: cell for cell in cells} for cells in (group, other)]
    both = sorted(by_seed_of[0].keys() & by_seed_of[1].keys())
    ours, others = ([cells[seed] for seed in both] for cells in by_seed_of)
    return ours, others


def spent(cells: Sequence[Cell]) -> Table:
    """Tabulate the tokens that training took behind the common policy: sampled, and through models."""
    table = markdown_table("task", "arm", "sampled to train", "trained on")
    for (task, arm), group in grouped(cells, "task", "arm").items():
        table.add_row(
            task, arm, *(f"{mean(group, 'spent', kind) / 1e6:.3f}M" for kind in ("sampled", "trained"))
        )
    return table


def plots(cells: Sequence[Cell]) -> Iterator[tuple[str, Plot]]:
    """Yield for each task accuracy over the budget."""
    for (task,), of in grouped(cells, "task").items():
        lines = [Line(arm, _values(group)) for (arm,), group in grouped(of, "arm").items()]
        yield f"budgets-{task}", Plot(f"Accuracy over sampled tokens, {task}", "budget", "right, %", lines)


def effects(cells: Sequence[Cell], against: str) -> list[Effect]:
    """Return the paired difference of each arm to one of them, at the largest budget, in points."""
    found = []
    groups = grouped(cells, "task", "arm")
    for (task, arm), group in groups.items():
        ours, other = _of_both(group, groups.get((task, against), []))
        if arm != against and other:
            at = ("budgets", list(group[0]["budgets"])[-1])
            told = paired_difference(pooled(ours, *at), pooled(other, *at))
            found.append(Effect(f"{task}: {arm}", *(100 * x for x in (told.value, told.low, told.high))))
    return found


def _values(group: Group) -> dict[str, list[float]]:
    each = {budget: [correct_of(cell, "budgets", budget) for cell in group] for budget in group[0]["budgets"]}
    return {budget: [100 * sum(of) / len(of) for of in values] for budget, values in each.items()}
