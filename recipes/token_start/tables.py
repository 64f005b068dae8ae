"""The tables and plots of the experiment."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from rich.table import Table

from halluc_plugin.metrics import Proportion, right_by_events
from halluc_plugin.recipes.lab.plotting import Line, Plot
from halluc_plugin.recipes.lab.tabulating import (
    Cell,
    Group,
    accuracy,
    by_seed,
    grouped,
    markdown_table,
    over_seeds,
    percent,
    pooled,
)
from halluc_plugin.recipes.token_start.starting import steps_to

NEVER = "never"
MOST = 3
"""The number of events at which the last group of answers begins."""


def of(cells: Sequence[Cell], part: str) -> dict[str, Group]:
    """Return the cells of a part by name."""
    chosen = [cell for cell in cells if cell["part"] == part]
    return {str(name): group for (name,), group in grouped(chosen, "name").items()}


def share(group: Group, key: str) -> Proportion:
    """Return the pooled share of what counts in each answer, or each state, of all seeds."""
    found = list(chain.from_iterable(cell[key] for cell in group))
    return Proportion.clustered([hits for hits, _ in found], [n for _, n in found])


def shown(value: Proportion) -> str:
    """Return a share in % with its interval; nothing where there was none to observe."""
    return percent(value) if value.n else ""


def tokens(group: Group) -> str:
    """Return the mean number of sampled tokens."""
    found = list(chain.from_iterable(cell["tokens"] for cell in group))
    return f"{sum(found) / len(found):.1f}"


def starts(cells: Sequence[Cell]) -> Table:
    """Return how each initialisation starts, how soon its recall is a half, and what it comes to."""
    table = markdown_table(
        "", "P(token), %: where it stands", "at other ends of steps", "in text", "steps to half, by seed",
        "right, %", "by seed", "precision, %", "recall, %", "to mean",
    )  # fmt: skip
    groups = of(cells, "start")
    for name, group in groups.items():
        first = [_percents(group, kind) for kind in ("edit", "step_end", "text")]
        to_mean = "" if name == "mean" or "mean" not in groups else over_seeds(group, groups["mean"])
        table.add_row(
            name, *first, ", ".join(map(_steps, group)), accuracy(group), by_seed(group),
            shown(share(group, "precision")), shown(share(group, "recall")), to_mean,
        )  # fmt: skip
    return table


def _percents(group: Group, kind: str) -> str:
    return ", ".join(f"{100 * cell['start'][kind]:.3g}" for cell in group)


def _steps(cell: Cell) -> str:
    found = steps_to(recall_curve(cell))
    return NEVER if found is None else f"{found:.0f}"


def recall_curve(cell: Cell) -> dict[str, float]:
    """Return the recall by optimizer step of one seed."""
    return {step: share([told], "recall").value for step, told in cell["curve"].items()}


def answers(part: str, first: str) -> Callable[[Sequence[Cell]], Table]:
    """Return a function that makes a part's table of answers: right ones, precision, recall, tokens."""

    def table_of(cells: Sequence[Cell]) -> Table:
        groups = of(cells, part)
        table = markdown_table(
            "",
            "right, %",
            "by seed",
            "precision, %",
            "recall, %",
            "tokens",
            "retries that differ, %",
            "to first",
        )
        base = groups.get(first)
        for name, group in groups.items():
            table.add_row(
                name, accuracy(group), by_seed(group), shown(share(group, "precision")),
                shown(share(group, "recall")), tokens(group), shown(share(group, "tries")),
                "" if base is None or name == first else over_seeds(group, base),
            )  # fmt: skip
        return table

    return table_of


def events(cells: Sequence[Cell]) -> Table:
    """Return the shares of answers by their number of backtracks, and of right ones among them."""
    table = markdown_table("backtracks", "answers, %", "right, %", "retries that differ, %")
    for group in (group for name, group in of(cells, "budget").items() if name == "any"):
        numbers = list(chain.from_iterable(cell["events"] for cell in group))
        for counted in right_by_events(numbers, [bool(one) for one in pooled(group)], MOST):
            last = counted.events == MOST
            table.add_row(
                f"{counted.events}{' or more' if last else ''}", percent(counted.share), shown(counted.right),
                shown(_many(group)) if last else "",
            )  # fmt: skip
    return table


def _many(group: Group) -> Proportion:
    """How much tries differ in states with three or more: two retries at least."""
    found = [pair for cell in group for pair in cell["tries"] if pair[1] >= MOST]
    return Proportion.clustered([differ for differ, _ in found], [n for _, n in found])


def searches(cells: Sequence[Cell]) -> Table:
    """Return what searches with b rounds come to, and how much their tries from one state differ."""
    table = markdown_table("", "a right answer found, %", "by seed", "tokens", "tries that differ, %")
    for name, group in of(cells, "search").items():
        table.add_row(name, accuracy(group), by_seed(group), tokens(group), shown(share(group, "tries")))
    return table


TABLES: Mapping[str, Callable[[Sequence[Cell]], Table]] = {
    "starts": starts,
    "bias": answers("bias", "+0"),
    "budgets": answers("budget", "any"),
    "events": events,
    "forcing": answers("forcing", "token: free"),
    "searches": searches,
    "wording": answers("wording", "token"),
}
"""Name -> table."""


def plots(cells: Sequence[Cell]) -> Iterator[tuple[str, Plot]]:
    """Yield the plots for which there are cells."""
    if groups := of(cells, "bias"):
        title = "A bias on the token's logit"
        lines = [_line(label, groups, measure) for label, measure in MEASURED.items()]
        yield "bias", Plot(title, "nats", "%", lines, to_scale=True)
    if groups := of(cells, "start"):
        title = "Dead ends that are taken back"
        lines = [
            Line(name, _by_step(group)) for name, group in groups.items() if all(c["curve"] for c in group)
        ]
        yield "recall", Plot(title, "optimizer steps", "recall, %", lines, to_scale=True)


def _right(group: Group) -> Proportion:
    values = pooled(group)
    return Proportion.of(sum(values), len(values))


MEASURED: Mapping[str, Callable[[Group], Proportion]] = {
    "right": _right,
    "precision": lambda group: share(group, "precision"),
    "recall": lambda group: share(group, "recall"),
}
"""What is drawn over the bias."""


def _line(label: str, groups: Mapping[str, Group], measure: Callable[[Group], Proportion]) -> Line:
    places = {name: measure(group) for name, group in groups.items()}
    known = {name: found for name, found in places.items() if found.n}
    return Line(
        label,
        {name: [100 * found.value] for name, found in known.items()},
        {name: (100 * found.low, 100 * found.high) for name, found in known.items()},
    )


def _by_step(group: Group) -> dict[str, list[float]]:
    curves = [recall_curve(cell) for cell in group]
    steps = [step for step in curves[0] if all(curve.get(step, 0.0) >= 0 for curve in curves)]
    return {step: [100 * curve[step] for curve in curves if step in curve] for step in steps}


def compact(cell: Cell) -> dict[str, Any]:
    """Return a cell for the repository: what was right as a text of digits."""
    kept = dict(cell)
    if "correct" in kept:
        kept["correct"] = "".join(map(str, kept["correct"]))
    return kept
