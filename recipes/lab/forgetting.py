"""What arms forget of the model that they begin with, as cells and as one table for all experiments."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table

from halluc_plugin.jobs.forgetting import Probed, forgotten
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.lab.keeping import kept_cell
from halluc_plugin.recipes.lab.reporting import report_table
from halluc_plugin.recipes.lab.tabulating import (
    Cell,
    accuracy,
    by_seed,
    difference,
    grouped,
    markdown_table,
    mean,
    over_seeds,
)
from halluc_plugin.sampling.networks import load_network
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.states import Space

FOLDER = "forgetting"


def kept_forgetting(path: Path, of: dict[str, Any], **asked: Any) -> dict[str, Any]:
    """Return what an arm forgot, measured on first use.

    Args:
        path: The cell's file.
        of: What the cell is of, such as its arm and seed.
        **asked: The arguments of :func:`measured`.
    """
    return kept_cell(path, lambda: of | measured(**asked))


def measured(
    *, base: Path, model: Path, tokenizer: Any, space: Space, problems: Sequence[PosedProblem], seed: int
) -> dict[str, Any]:
    """Return what a model forgot of a base with the same tokenizer, on the base's own answers.

    Args:
        base: Folder of the base.
        model: Folder of the model.
        tokenizer: Their tokenizer.
        space: The space in which both answer; edits are banned in it.
        problems: Problems of the clean task, answered once by each.
        seed: Seed of the answers.

    Returns:
        ``before`` and ``after``, each with ``correct``, 0 or 1 of each problem; ``divergence``, nats a token,
        and ``edits``, the probability of one a token, each with ``value``, ``low`` and ``high``.
    """
    banned = replace(space, edits_banned=True)
    before, after = (Probed(load_network(str(folder)), tokenizer, banned) for folder in (base, model))
    found = forgotten(before, after, problems, seed=seed, progress=show_progress)
    told = found.as_json()
    return {
        "before": {"correct": [int(score) for score in found.before]},
        "after": {"correct": [int(score) for score in found.after]},
        "divergence": told["divergence"],
        "edits": told["edits"],
    }


def report(out: Path, tasks: Iterable[str], arms: Iterable[str]) -> None:
    """Write and print the table of all cells in an experiment's folder, if there are any.

    Args:
        out: Folder of the experiment; cells are in its folders ``*/forgetting``.
        tasks: The tasks in the order of the table.
        arms: The arms in the order of the table.
    """
    order = {str(name): at for at, name in enumerate([*tasks, *arms])}
    cells = [json.loads(path.read_text(encoding="utf-8")) for path in out.glob(f"*/{FOLDER}/*.json")]
    cells.sort(key=lambda cell: (order[cell["task"]], order[cell["arm"]], cell["seed"]))
    if cells:
        report_table(table(cells, "task", "arm"), FOLDER, out)


def table(cells: Sequence[Cell], *keys: str) -> Table:
    """Tabulate what arms forgot: right answers with edits banned, before and after, and KL to the base.

    Args:
        cells: Cells as :func:`measured` returns them, with ``seed``.
        keys: What an arm is told apart by, such as ``task`` and ``arm``.
    """
    shown = markdown_table(
        *keys, "base, banned, %", "banned, %", "change, points", "over seeds", "KL, nats a token", "seeds",
        "P(edit) a token",
    )  # fmt: skip
    for of, group in grouped(cells, *keys).items():
        before = [{"seed": cell["seed"], "after": cell["before"]} for cell in group]
        shown.add_row(
            *of, accuracy(group, "before"), f"{accuracy(group, 'after')} ({by_seed(group, 'after')})",
            difference(group, ("after",), group, ("before",)), over_seeds(group, before, "after"),
            f"{mean(group, 'divergence', 'value'):.4f}", ", ".join(map(_interval, group)),
            f"{mean(group, 'edits', 'value'):.4f}",
        )  # fmt: skip
    return shown


def _interval(cell: Cell) -> str:
    found = cell["divergence"]
    return f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"
