"""The tables of the experiment."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.table import Table

from halluc_plugin.recipes.lab.tabulating import (
    Cell,
    Group,
    accuracy,
    by_seed,
    grouped,
    markdown_table,
    mean,
    over_seeds,
)
from halluc_plugin.recipes.when_it_pays.grids import MORE, Part
from halluc_plugin.recipes.when_it_pays.specs import Form

ARMS = (
    Form.CLEAN, MORE, Form.BACKWARD, Form.SCRATCHPAD, "distinct starts",
    Form.TWIN, Form.STREAM, Form.SOFT, Form.HARD,
)  # fmt: skip
PARALLEL = "n="


def of(cells: Sequence[Cell], part: Part) -> dict[str, Group]:
    """Return the cells of a part by name."""
    chosen = [cell for cell in cells if cell["part"] == part]
    return {str(name): group for (name,), group in grouped(chosen, "name").items()}


def arms(cells: Sequence[Cell]) -> Table:
    """Return accuracy and cost of an answer for each arm of the word problem."""
    table = markdown_table(
        "arm", "right, %", "seeds", "banned, %", "P(edit|dead)", "P(edit|live)", "tokens", "context", "peak",
        "MFLOPs", "less clean",
    )  # fmt: skip
    groups = of(cells, Part.GRID)
    for name in map(str, ARMS):
        if name in groups:
            group = groups[name]
            table.add_row(name, *_row(group), over_seeds(group, groups.get(str(Form.CLEAN), group)))
    return table


def _row(group: Group) -> list[str]:
    banned = (
        accuracy([{"correct": cell["correct_banned"]} for cell in group])
        if "correct_banned" in group[0]
        else ""
    )
    told = [_mean_known(group, key) for key in ("p_edit_dead", "p_edit_live")]
    return [
        accuracy(group), by_seed(group), banned, *told, f"{mean(group, 'tokens'):.1f}",
        f"{mean(group, 'live'):.1f}" if "live" in group[0] else "",
        f"{max(cell['peak'] for cell in group)}", f"{mean(group, 'flops') / 1e6:.1f}",
    ]  # fmt: skip


def _mean_known(group: Group, key: str) -> str:
    found = [cell[key] for cell in group if cell.get(key) is not None]
    return f"{sum(found) / len(found):.3f}" if found else ""


def training(cells: Sequence[Cell]) -> Table:
    """Return what each model was trained on, and whether its accuracy had settled."""
    table = markdown_table(
        "model",
        "tokens, M",
        "decisions, M",
        "oracle labels, k",
        "TFLOPs",
        "seconds",
        "right early, %",
        "settled",
    )
    for part in Part:
        for name, group in of(cells, part).items():
            known = [cell for cell in group if "trained" in cell]
            if known:
                table.add_row(f"{part}: {name}", *_trained(known))
    return table


def _trained(group: Group) -> list[str]:
    def number(key: str, unit: float, digits: int = 1) -> str:
        return f"{mean(group, 'trained', key) / unit:.{digits}f}"

    early = [cell["trained"]["early"] for cell in group]
    final = [sum(cell["correct"]) / len(cell["correct"]) for cell in group]
    settled = sum(abs(a - b) < 0.01 for a, b in zip(early, final, strict=True))
    return [
        number("tokens", 1e6), number("decisions", 1e6, 2), number("labels", 1e3), number("flops", 1e12, 2),
        number("seconds", 1, 0), ", ".join(f"{100 * share:.1f}" for share in early),
        f"{settled} of {len(group)}",
    ]  # fmt: skip


def compute(cells: Sequence[Cell]) -> Table:
    """Return accuracy over compute: sequential tries by where they are cut off, parallel ones by number."""
    table = markdown_table("answers", "right, %", "tokens", "MFLOPs", "peak")
    for name, group in points_of(cells).items():
        table.add_row(
            name, accuracy(group), f"{mean(group, 'tokens'):.1f}", f"{mean(group, 'flops') / 1e6:.1f}",
            f"{max(cell['peak'] for cell in group)}",
        )  # fmt: skip
    return table


def points_of(cells: Sequence[Cell]) -> dict[str, Group]:
    """Return the points of the curves over compute: ``RULE, n=N`` and ``FORM, cut at LIMIT``."""
    groups = of(cells, Part.GRID)
    parallel = sorted((name for name in groups if PARALLEL in name), key=_number)
    found = {name: groups[name] for name in sorted(parallel, key=lambda name: name.partition(",")[0])}
    for form in (Form.TWIN, Form.STREAM, Form.SOFT, Form.HARD):
        group = groups.get(str(form), [])
        for limit in group[0]["cut"] if group else ():
            found[f"{form}, cut at {limit}"] = [cell["cut"][limit] for cell in group]
        if group:
            found[f"{form}, whole"] = group
    return found


def _number(name: str) -> int:
    return int(name.rpartition("=")[2])


def _plain(part: Part) -> Callable[[Sequence[Cell]], Table]:
    def table_of(cells: Sequence[Cell]) -> Table:
        table = markdown_table(
            "model", "right, %", "seeds", "banned, %", "P(edit|dead)", "P(edit|live)", "tokens", "context",
            "peak", "MFLOPs",
        )  # fmt: skip
        for name, group in of(cells, part).items():
            table.add_row(name, *_row(group))
        return table

    return table_of


TABLES: Mapping[str, Callable[[Sequence[Cell]], Table]] = {
    "arms": arms,
    "compute": compute,
    **{str(part): _plain(part) for part in Part if part is not Part.GRID},
    "training": training,
}
"""Name -> table."""


def compact(cell: Cell) -> dict[str, Any]:
    """Return a cell for the repository: what was right as a text of digits, without curves."""
    kept = {key: value for key, value in cell.items() if key != "curve"}
    for key in ("correct", "correct_banned"):
        if key in kept:
            kept[key] = "".join(map(str, kept[key]))
    if "cut" in kept:
        kept["cut"] = {limit: compact(each) for limit, each in kept["cut"].items()}
    return kept


def whole(kept: Mapping[str, Any]) -> Cell:
    """Return the cell of which :func:`compact` made this, without its curve."""
    cell = {**kept, "correct": list(map(int, kept["correct"]))}
    if "correct_banned" in kept:
        cell["correct_banned"] = list(map(int, kept["correct_banned"]))
    if "cut" in kept:
        cell["cut"] = {limit: whole(each) for limit, each in kept["cut"].items()}
    return cell
