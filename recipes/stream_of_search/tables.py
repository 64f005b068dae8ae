"""The tables and the plot of the experiment."""

import math
from collections.abc import Callable, Mapping, Sequence

from rich.table import Table

from halluc_plugin.recipes.lab.plotting import Line, Plot
from halluc_plugin.recipes.lab.tabulating import (
    Cell,
    accuracy,
    by_seed,
    difference,
    grouped,
    markdown_table,
    mean,
    pooled,
)
from halluc_plugin.tasks.countdown.streams.reading import End, StreamError
from halluc_plugin.tasks.countdown.streams.strategies import STRATEGIES

SEARCHES, OPTIMAL, STREAMS, STAR, FURTHER = "searches", "optimal path", "streams", "STaR", "further steps"

Groups = Mapping[tuple[str], Sequence[Cell]]


def _arms(cells: Sequence[Cell]) -> Groups:
    return {arm: group for arm, group in grouped(cells, "arm").items() if arm != (SEARCHES,)}


def accuracies(cells: Sequence[Cell]) -> Table:
    """Return the table of right answers, greedy and sampled, and of what they cost."""
    table = markdown_table(
        "", "greedy, seen targets, %", "seeds", "greedy, new targets, %", "to streams", "one sample",
        "right by the published verifier", "tokens", "rating",
    )  # fmt: skip
    arms = _arms(cells)
    reference = ("seen", "greedy")
    for (arm,), group in arms.items():
        same = arm == STREAMS
        table.add_row(
            arm, accuracy(group, *reference), by_seed(group, *reference), accuracy(group, "new", "greedy"),
            "" if same else difference(group, reference, arms[(STREAMS,)], reference),
            accuracy(group, "seen", "sampled"), _published(group),
            f"{mean(group, *reference, 'tokens'):.0f}", f"{mean(group, *reference, 'rating'):.2f}",
        )  # fmt: skip
    return table


def _published(group: Sequence[Cell]) -> str:
    found = [one for cell in group for one in cell["seen"]["greedy"]["as_published"]]
    return f"{100 * sum(found) / len(found):.1f} %"


def errors(cells: Sequence[Cell]) -> Table:
    """Return the table of errors of a greedy answer by class, and of how answers end."""
    table = markdown_table("", *(f"{kind} errors" for kind in StreamError), *map(str, End), "explored")
    for (arm,), group in _arms(cells).items():
        table.add_row(
            arm,
            *(f"{mean(group, 'seen', 'greedy', 'errors', kind):.2f}" for kind in StreamError),
            *(f"{100 * mean(group, 'seen', 'greedy', 'ends', end):.1f} %" for end in End),
            f"{mean(group, 'seen', 'greedy', 'explored'):.1f}",
        )
    return table


def agreement(cells: Sequence[Cell]) -> Table:
    """Return the table of what each strategy solves, and how far each model visits and solves the same."""
    arms = _arms(cells)
    names = [arm for (arm,) in arms]
    table = markdown_table(
        "", "solves, %", *(f"{n}: states" for n in names), *(f"{n}: solved" for n in names)
    )
    searched = grouped(cells, "arm")[(SEARCHES,)]
    for strategy in STRATEGIES:
        of = ("agreement", strategy.name)
        table.add_row(
            strategy.name, accuracy(searched, strategy.name),
            *(f"{mean(arms[(name,)], *of, 'states'):.2f}" for name in names),
            *(_correlation(arms[(name,)], strategy.name) for name in names),
        )  # fmt: skip
    return table


def _correlation(group: Sequence[Cell], strategy: str) -> str:
    found = [cell["agreement"][strategy]["correctness"] for cell in group]
    known = [value for value in found if not math.isnan(value)]
    return f"{sum(known) / len(known):.2f}" if known else ""


def budgets(cells: Sequence[Cell]) -> Table:
    """Return the table of best-of-n with a check of the goal, by the tokens of all samples."""
    arms = _arms(cells)
    sizes = list(next(iter(arms.values()))[0]["seen"]["budgets"])
    table = markdown_table("", *(f"{size} tokens" for size in sizes))
    for (arm,), group in arms.items():
        table.add_row(arm, *(accuracy(group, "seen", "budgets", size) for size in sizes))
    return table


def unsolved(cells: Sequence[Cell]) -> Table:
    """Return the table of what is solved greedily of the problems that others do not solve."""
    table = markdown_table("", "of what streams leave unsolved", "of what no strategy solves")
    groups = grouped(cells, "arm")
    base = [not one for one in pooled(groups[(STREAMS,)], "seen", "greedy")]
    searched = groups[(SEARCHES,)]
    solved = [pooled(searched, strategy.name) for strategy in STRATEGIES]
    nobody = [not any(by) for by in zip(*solved, strict=True)]
    for (arm,), group in _arms(cells).items():
        ours = pooled(group, "seen", "greedy")
        table.add_row(arm, "" if arm == STREAMS else _share(ours, base), _share(ours, nobody))
    return table


def _share(ours: Sequence[int], among: Sequence[bool]) -> str:
    chosen = [one for one, is_asked in zip(ours, among, strict=True) if is_asked]
    return f"{sum(chosen)} of {len(chosen)}"


TABLES: Mapping[str, Callable[[Sequence[Cell]], Table]] = {
    "accuracies": accuracies,
    "budgets": budgets,
    "errors": errors,
    "agreement": agreement,
    "unsolved": unsolved,
}


def budgets_plot(cells: Sequence[Cell]) -> Plot:
    """Return the plot of best-of-n over tokens."""
    lines = []
    for (arm,), group in _arms(cells).items():
        sizes = group[0]["seen"]["budgets"]
        values = {
            size: [
                100 * sum(right := cell["seen"]["budgets"][size]["correct"]) / len(right) for cell in group
            ]
            for size in sizes
        }
        lines.append(Line(arm, values))
    return Plot("Best of n by the goal check", "tokens of all samples", "right, %", lines, to_scale=True)
