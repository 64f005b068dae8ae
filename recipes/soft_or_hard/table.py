"""The table of all measurements."""

from collections.abc import Sequence

from rich.box import MARKDOWN
from rich.table import Table

from halluc_plugin.metrics import Proportion
from halluc_plugin.recipes.lab.tabulating import Cell, Group, by_seed, difference, grouped, mean, pooled


def summary(cells: Sequence[Cell]) -> Table:
    """Return a table with a row for each way of training and decoding, all seeds together.

    The difference is to the same model decoded in its own context, paired by problem.
    """
    table = Table(box=MARKDOWN)
    for heading in ("trained", "decoded", "T", "accuracy [95 %]", "by seed", "to its own context [95 %]"):
        table.add_column(heading)
    for heading in ("backtracked", "bad steps erased", "good steps erased", "actions"):
        table.add_column(heading, justify="right")
    groups = grouped(cells, "temperature", "trained", "decoded")
    for (temperature, trained, decoded), group in sorted(groups.items(), reverse=True):
        own = groups[temperature, trained, trained]
        table.add_row(trained, decoded, f"{temperature:g}", *_accuracies(group, own), *_means(group))
    return table


def _accuracies(group: Group, own: Group) -> list[str]:
    correct = pooled(group)
    share = Proportion.of(sum(correct), len(correct))
    interval = f"[{100 * share.low:.1f}, {100 * share.high:.1f}]"
    shown = [f"{100 * share.value:.1f} % {interval}", by_seed(group)]
    return [*shown, "" if group is own else difference(group, (), own, ())]


def _means(group: Group) -> list[str]:
    shares = ("backtracked", "bad_steps_erased", "good_steps_erased")
    return [*(f"{100 * mean(group, key):.1f} %" for key in shares), f"{mean(group, 'raw_length'):.1f}"]
