"""A table for each stage: all seeds together, each seed by itself, and paired differences."""

from collections.abc import Callable, Sequence
from itertools import chain

from rich.table import Table

from halluc_plugin.metrics import Proportion
from halluc_plugin.recipes.tabulating import (
    Cell,
    Group,
    accuracy,
    by_seed,
    difference,
    grouped,
    markdown_table,
    mean,
    percent,
)


def search(cells: Sequence[Cell]) -> Table:
    """Table 1: a row for each method and rule of selection, both test sets."""
    table = markdown_table(
        "", "selected by", "seen targets, % [95 %]", "seeds", "new targets", "seeds",
        "a right one found (seen)", "tokens", "MFLOPs",
    )  # fmt: skip
    groups = grouped(cells, "arm", "split")
    for arm in dict.fromkeys(cell["arm"] for cell in cells):
        seen, new = groups[arm, "test_seen"], groups[arm, "test_new"]
        for rule in (key for key, value in seen[0].items() if isinstance(value, dict)):
            table.add_row(
                arm, rule,
                accuracy(seen, rule), by_seed(seen, rule), accuracy(new, rule), by_seed(new, rule),
                f"{100 * mean(seen, 'reachable'):.1f} %",
                f"{mean(seen, rule, 'tokens'):.0f}", f"{mean(seen, rule, 'flops') / 1e6:.0f}",
            )  # fmt: skip
    return table


def mixes(cells: Sequence[Cell]) -> Table:
    """Table 2: accuracy of each search for each mixture, and what more the first has."""
    searches = [key for key, value in cells[0].items() if isinstance(value, dict)]
    table = markdown_table(
        "", *chain.from_iterable((f"{name}, %", "seeds") for name in searches), "to 1:1, 1:2:2 (last)"
    )
    groups = grouped(cells, "arm")
    reference, last = groups[("1:1, 1:2:2",)], (searches[-1], "mean-logprob")
    for (arm,), group in groups.items():
        shown = chain.from_iterable(
            (accuracy(group, name, "mean-logprob"), by_seed(group, name, "mean-logprob")) for name in searches
        )
        compared = "" if group is reference else difference(group, last, reference, last)
        table.add_row(arm, *shown, compared)
    return table


def masking(cells: Sequence[Cell]) -> Table:
    """Table 3: decoded answers, banned twins, erased steps, negative learning, cosines at the end."""
    table = markdown_table(
        "", "greedy, %", "seeds", "greedy, banned", "T=1", "T=1, banned", "bad steps erased",
        "good steps erased", "precision", "recall", "negative learning, nats/token", "cos(error, edit)",
        "cos(error, correction)",
    )  # fmt: skip
    for (arm,), group in grouped(cells, "arm").items():
        shares = [
            f"{100 * mean(group, 'T=1', key):.1f} %"
            for key in ("bad_steps_erased", "good_steps_erased", "event_precision", "event_recall")
        ]
        learned = ["", "", ""]
        if "negative_learning" in group[0]:
            ends = [cell["cosines"][-1] for cell in group]
            learned = [
                ", ".join(f"{cell['negative_learning']['mean']:+.2f}" for cell in group),
                ", ".join(f"{end['error_edit']:+.2f}" for end in ends),
                ", ".join(f"{end['error_correction']:+.2f}" for end in ends),
            ]
        rows = ("T=0", "T=0, banned", "T=1", "T=1, banned")
        values = [accuracy(group, key) for key in rows]
        table.add_row(arm, values[0], by_seed(group, "T=0"), *values[1:], *shares, *learned)
    return table


def likelihood(cells: Sequence[Cell]) -> Table:
    """Table 4: how likelihood, and a verifier, go with being right."""
    table = markdown_table(
        "", "answers", "correlation", "AUC", "AUC within problems", "right, highest tenth", "lowest tenth"
    )
    for (name,), group in grouped(cells, "name").items():
        deciles = [cell["deciles"] for cell in group]
        ends = [sum(d[place]["right"] for d in deciles) / len(deciles) for place in (-1, 0)]
        seeds = {
            key: ", ".join(f"{cell[key]:.2f}" for cell in group)
            for key in ("correlation", "auc", "auc_within")
        }
        answers = f"{sum(cell['answers'] for cell in group)}"
        table.add_row(name, answers, *seeds.values(), *(f"{100 * end:.1f} %" for end in ends))
    return table


def expert(cells: Sequence[Cell]) -> Table:
    """Table 5: greedy and search after each round."""
    table = markdown_table(
        "", "round", "collected", "greedy, %", "seeds", "search, %", "seeds", "greedy, to the start"
    )
    groups = grouped(cells, "arm", "round")
    start, rule = groups["start", 0], "mean-logprob"
    for (arm, number), group in groups.items():
        table.add_row(
            arm, str(number), f"{mean(group, 'collected'):.0f}",
            accuracy(group, "greedy", rule), by_seed(group, "greedy", rule),
            accuracy(group, "search", rule), by_seed(group, "search", rule),
            "" if group is start else difference(group, ("greedy", rule), start, ("greedy", rule)),
        )  # fmt: skip
    return table


def emission(cells: Sequence[Cell]) -> Table:
    """Table 6: the rate of edits at each kind of place."""
    kinds = list(
        dict.fromkeys((where, kind) for c in cells for where in ("held out", "own") for kind in c[where])
    )
    table = markdown_table("", *(f"{where}: {kind}" for where, kind in kinds))
    for (arm,), group in grouped(cells, "arm").items():
        table.add_row(arm, *(emission_rate(group, where, kind) for where, kind in kinds))
    return table


def emission_rate(group: Group, *path: str) -> str:
    """How often an edit is the likeliest token at a kind of place, in %, and its mean probability."""
    places, emitted = (round(mean(group, *path, key) * len(group)) for key in ("places", "emitted"))
    return f"{percent(Proportion.of(emitted, places))}; p {mean(group, *path, 'probability'):.2f}"


def corrections(cells: Sequence[Cell]) -> Table:
    """Table 7: greedy, pass@k and maj@k of each arm."""
    ks = list(cells[0]["pass"])
    table = markdown_table(
        "", "greedy, %", "seeds", *(f"pass@{k}" for k in ks), *(f"maj@{k}" for k in ks), "tokens an answer"
    )
    for (arm,), group in grouped(cells, "arm").items():
        shares = [f"{100 * mean(group, kind, k, 'value'):.1f}" for kind in ("pass", "maj") for k in ks]
        values = (accuracy(group, "greedy"), by_seed(group, "greedy"))
        table.add_row(arm, *values, *shares, f"{mean(group, 'tokens'):.1f}")
    return table


def transfer(cells: Sequence[Cell]) -> Table:
    """Table 8: each model on both tasks."""
    table = markdown_table(
        "", "task", "greedy, %", "seeds", "greedy, banned", "T=1", "T=1, banned", "T=1, with - banned",
        "bad steps erased", "good steps erased", "edits at held-out errors", "where nothing is wrong",
    )  # fmt: skip
    for (arm,), group in grouped(cells, "arm").items():
        for task in ("countdown", "chain"):
            inner = [cell[task] for cell in group]
            values = [accuracy(inner, key) for key in ("T=0", "T=0, banned", "T=1", "T=1, banned")]
            shares = [f"{100 * mean(inner, 'T=1', f'{kind}_steps_erased'):.1f} %" for kind in ("bad", "good")]
            table.add_row(
                f"backtracks in {arm}", task, values[0], by_seed(inner, "T=0"), *values[1:],
                difference(inner, ("T=1",), inner, ("T=1, banned",)),
                *shares,
                emission_rate([_wrong(cell) for cell in inner], "wrong"),
                emission_rate(inner, "emission", "right"),
            )  # fmt: skip
    return table


def _wrong(cell: Cell) -> Cell:
    """All kinds of error together."""
    kinds = [value for kind, value in cell["emission"].items() if kind != "right"]
    places = sum(kind["places"] for kind in kinds)
    return {
        "wrong": {
            "places": places,
            "emitted": sum(kind["emitted"] for kind in kinds),
            "probability": sum(kind["probability"] * kind["places"] for kind in kinds) / max(1, places),
        }
    }


TABLES: dict[str, Callable[[Sequence[Cell]], Table]] = {
    "search": search,
    "mixes": mixes,
    "masking": masking,
    "likelihood": likelihood,
    "expert": expert,
    "emission": emission,
    "corrections": corrections,
    "transfer": transfer,
}
