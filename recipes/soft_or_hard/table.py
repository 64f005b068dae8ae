"""The table of all cells."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import MARKDOWN
from rich.table import Table

from halluc_plugin.metrics import Proportion, paired_difference


def summary(cells: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each way of training and decoding, all seeds together.

    The difference is to the same model decoded in its own context, problem by problem.
    """
    table = Table(box=MARKDOWN)
    for heading in ("trained", "decoded", "T", "accuracy [95 %]", "by seed", "to its own context [95 %]"):
        table.add_column(heading)
    for heading in ("backtracked", "bad steps erased", "good steps erased", "actions"):
        table.add_column(heading, justify="right")
    groups: dict[tuple[float, str, str], list[Mapping[str, Any]]] = {}
    for cell in cells:
        groups.setdefault((cell["temperature"], cell["trained"], cell["decoded"]), []).append(cell)
    for (temperature, trained, decoded), group in sorted(groups.items(), reverse=True):
        own = groups[temperature, trained, trained]
        table.add_row(trained, decoded, f"{temperature:g}", *_accuracies(group, own), *_means(group))
    return table


def _accuracies(group: Sequence[Mapping[str, Any]], own: Sequence[Mapping[str, Any]]) -> list[str]:
    correct, reference = ([x for cell in cells for x in cell["correct"]] for cells in (group, own))
    share = Proportion.of(sum(correct), len(correct))
    by_seed = [100 * sum(cell["correct"]) / len(cell["correct"]) for cell in group]
    shown = [
        f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]",
        ", ".join(f"{value:.1f}" for value in by_seed),
    ]
    if group is own:
        return [*shown, ""]
    difference = paired_difference(correct, reference)
    low, high = 100 * difference.low, 100 * difference.high
    return [*shown, f"{100 * difference.value:+.1f} [{low:+.1f}, {high:+.1f}]"]


def _means(group: Sequence[Mapping[str, Any]]) -> list[str]:
    def mean(key: str) -> float:
        return sum(cell[key] for cell in group) / len(group)

    shares = ("backtracked", "bad_steps_erased", "good_steps_erased")
    return [*(f"{100 * mean(key):.1f} %" for key in shares), f"{mean('raw_length'):.1f}"]
