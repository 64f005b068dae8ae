"""The table of each stage: all seeds together, each seed by itself, and paired differences."""

import math
import statistics
from collections.abc import Callable, Sequence
from itertools import chain

from rich.table import Table

from halluc_plugin.metrics import Proportion
from halluc_plugin.recipes.lab.tabulating import (
    Cell,
    Group,
    accuracy,
    by_seed,
    difference,
    grouped,
    markdown_table,
    mean,
    over_seeds,
    percent,
)


def search(cells: Sequence[Cell]) -> Table:
    """Return table 1: a row for each method and rule of selection, on both test sets."""
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
    """Return table 2: accuracy of each search for each mixture, and the first one's lead."""
    searches = list(cells[0]["searches"])
    last = [name for name in searches if "banned" not in name][-1]
    table = markdown_table(
        "", *chain.from_iterable((f"{name}, %", "seeds") for name in searches),
        f"{last}, to 1:1, 1:2:2", f"{last}, to {searches[-1]}", *OWN,
    )  # fmt: skip
    groups = grouped(cells, "arm")
    reference, path = groups[("1:1, 1:2:2",)], _searched(last)
    for (arm,), group in groups.items():
        shown = chain.from_iterable(
            (accuracy(group, *_searched(name)), by_seed(group, *_searched(name))) for name in searches
        )
        compared = "" if group is reference else difference(group, path, reference, path)
        worth = difference(group, path, group, _searched(searches[-1]))
        table.add_row(arm, *shown, compared, worth, *_own(group))
    return table


def _searched(name: str) -> tuple[str, str, str]:
    return "searches", name, "mean-logprob"


NOWHERE = {"own": {"places": 0, "emitted": 0, "probability": math.nan}}  # no answer had a bad step
OWN = ("fires behind own bad steps", "behind own right steps", "precision")


def _own(group: Group) -> list[str]:
    """Where an edit is the likeliest token in a model's own answers, at the end of a step.

    Behind which share of the bad ones (recall), of the right ones, and how many of all such places are bad.
    """
    places = [NOWHERE | cell["own"] for cell in group]
    bad, right = (sum(cell[kind]["emitted"] for cell in places) for kind in ("own", "right"))
    precision = percent(Proportion.of(bad, bad + right)) if bad + right else ""
    return [emission_rate(places, kind) for kind in ("own", "right")] + [precision]


def masking(cells: Sequence[Cell]) -> Table:
    """Return table 3: decoded answers, banned twins, erased steps, negative learning, cosines at the end."""
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
    """Return table 4: how likelihood, and a verifier, go with being right."""
    table = markdown_table(
        "", "answers", "correlation", "AUC", "AUC within problems", "right, highest tenth", "lowest tenth"
    )
    for (name,), group in grouped(cells, "name").items():
        deciles = [cell["deciles"] for cell in group if cell["deciles"]]  # a search may find no answer
        ends = [
            statistics.fmean(tenths[place]["right"] for tenths in deciles) if deciles else math.nan
            for place in (-1, 0)
        ]
        seeds = {
            key: ", ".join(f"{cell[key]:.2f}" for cell in group)
            for key in ("correlation", "auc", "auc_within")
        }
        answers = f"{sum(cell['answers'] for cell in group)}"
        table.add_row(name, answers, *seeds.values(), *(f"{100 * end:.1f} %" for end in ends))
    return table


def expert(cells: Sequence[Cell]) -> Table:
    """Return table 5: greedy decoding and search after each round."""
    searches = cells[0]["searches"]
    table = markdown_table(
        "", "round", "collected", "wrong", *chain.from_iterable((f"{name}, %", "seeds") for name in searches),
        "greedy, to the start", "over seeds", *OWN,
    )  # fmt: skip
    groups = grouped(cells, "arm", "round")
    start, greedy = groups["start", 0], _searched("greedy")
    for (arm, number), group in groups.items():
        shown = chain.from_iterable(
            (accuracy(group, *_searched(name)), by_seed(group, *_searched(name))) for name in searches
        )
        compared = ["", ""]
        if group is not start:
            compared = [difference(group, greedy, start, greedy), over_seeds(group, start, *greedy)]
        counted = [{"wrong": 0} | dict(cell) for cell in group]  # of before a judge could err
        kept = [f"{mean(counted, key):.0f}" for key in ("collected", "wrong")]
        table.add_row(arm, str(number), *kept, *shown, *compared, *_own(group))
    return table


def emission(cells: Sequence[Cell]) -> Table:
    """Return table 6: the rate of edits at each kind of place."""
    kinds = list(
        dict.fromkeys((where, kind) for c in cells for where in ("held out", "own") for kind in c[where])
    )
    table = markdown_table("", *(f"{where}: {kind}" for where, kind in kinds))
    for (arm,), group in grouped(cells, "arm").items():
        table.add_row(arm, *(emission_rate(group, where, kind) for where, kind in kinds))
    return table


def emission_rate(group: Group, *path: str) -> str:
    """Return how often an edit is the likeliest token at a kind of place, in %, and its mean probability."""
    places, emitted = (round(mean(group, *path, key) * len(group)) for key in ("places", "emitted"))
    occupied = [cell for cell in group if mean([cell], *path, "places")]
    probability = mean(occupied, *path, "probability") if occupied else math.nan
    return f"{percent(Proportion.of(emitted, places))}; p {probability:.2f}"


def corrections(cells: Sequence[Cell]) -> Table:
    """Return table 7: greedy decoding, pass@k and maj@k of each arm."""
    ks = list(cells[0]["pass"])
    table = markdown_table(
        "", "greedy, %", "seeds", *(f"pass@{k}" for k in ks), *(f"maj@{k}" for k in ks), "tokens an answer",
        *WORTH.values(),
    )  # fmt: skip
    for (arm,), group in grouped(cells, "arm").items():
        shares = [f"{100 * mean(group, kind, k, 'value'):.1f}" for kind in ("pass", "maj") for k in ks]
        values = (accuracy(group, "greedy"), by_seed(group, "greedy"))
        worth = [f"{100 * mean(group, 'edits', key):.1f} %" if "edits" in group[0] else "" for key in WORTH]
        table.add_row(arm, *values, *shares, f"{mean(group, 'tokens'):.1f}", *worth)
    return table


WORTH = {
    "backtracked": "answers with a backtrack",
    "bad_steps_erased": "bad steps erased",
    "good_steps_erased": "good steps erased",
    "event_precision": "precision",
    "event_recall": "recall",
}


def transfer(cells: Sequence[Cell]) -> Table:
    """Return table 8: each model on both tasks."""
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
