"""The table and the plots of the experiment."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from halluc_plugin.metrics import correction
from halluc_plugin.recipes.lab.plotting import Line, Plot
from halluc_plugin.recipes.lab.tabulating import (
    Cell,
    accuracy,
    by_seed,
    difference,
    grouped,
    markdown_table,
    mean,
    percent,
    points,
    pooled,
)
from halluc_plugin.recipes.score.models import Arm


def turns(cells: Sequence[Cell]) -> Table:
    """Tabulate both attempts, what the second one changed, and what training took."""
    table = markdown_table(
        "task", "arm", "first, %", "second, %", "seeds", "change, points", "i→c, %", "c→i, %", "differs",
        "second, to taught", "tokens", "sampled to train", "trained on",
    )  # fmt: skip
    groups = grouped(cells, "task", "arm")
    for (task, arm), group in groups.items():
        found = correction(*([bool(x) for x in pooled(group, name)] for name in ("first", "second")))
        delta, taught = found.delta, groups.get((task, str(Arm.TAUGHT)), [])
        paired = arm != Arm.TAUGHT and len(taught) == len(group)
        table.add_row(
            task, arm, accuracy(group, "first"), accuracy(group, "second"), by_seed(group, "second"),
            points(delta.value, delta.low, delta.high),
            percent(found.to_correct), percent(found.to_incorrect),
            f"{mean(group, 'changed'):.2f}",
            difference(group, ("second",), taught, ("second",)) if paired else "",
            f"{mean(group, 'tokens'):.1f}",
            *(f"{mean(group, 'spent', kind) / 1e6:.2f}M" for kind in ("sampled", "trained")),
        )  # fmt: skip
    return table


TABLES = {"turns": turns}


def plots(cells: Sequence[Cell]) -> Iterator[tuple[str, Plot]]:
    """Yield for each task how much the second attempts differ from the first, over the steps of training."""
    for (task,), of in grouped(cells, "task").items():
        lines = [
            Line(
                arm,
                {
                    str(lines[0]["step"]): [line["backtrack/turn_change"] for line in lines]
                    for lines in zip(*(cell["curve"] for cell in group), strict=True)
                },
            )
            for (arm,), group in grouped(of, "arm").items()
            if group[0]["curve"]
        ]
        title = f"Second attempts that differ from the first, {task}"
        yield f"changed-{task}", Plot(title, "step", "share of both that differs", lines, to_scale=True)
