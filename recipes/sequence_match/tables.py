"""The tables and plots of the experiment."""

from collections.abc import Sequence

from rich.table import Table

from halluc_plugin.metrics import Proportion
from halluc_plugin.recipes.lab.plotting import Line, Plot
from halluc_plugin.recipes.lab.tabulating import (
    Cell,
    accuracy,
    by_seed,
    correct_of,
    difference,
    grouped,
    markdown_table,
    mean,
    percent,
    pooled,
)

PAPERS_QUESTIONS = 200


def arithmetic(cells: Sequence[Cell]) -> Table:
    """Return the table of accuracies, on all questions and on as many as in the paper, and of backspaces."""
    table = markdown_table(
        "", "greedy, %", "seeds", f"of {PAPERS_QUESTIONS} questions", "to likelihood", "backspaces banned",
        "temperature 1", "answers with a backspace, T=1", "bad steps erased", "good steps erased",
    )  # fmt: skip
    groups = grouped(cells, "arm")
    reference = groups[("likelihood",)]
    for (arm,), group in groups.items():
        compared = "" if group is reference else difference(group, ("greedy",), reference, ("greedy",))
        shares = (f"{100 * mean(group, 'T=1', key):.1f} %" for key in ("backtracked", "bad_steps_erased"))
        table.add_row(
            arm, accuracy(group, "greedy"), by_seed(group, "greedy"), _spread(group), compared,
            accuracy(group, "banned"), accuracy(group, "T=1"), *shares,
            f"{100 * mean(group, 'T=1', 'good_steps_erased'):.1f} %",
        )  # fmt: skip
    return table


def _spread(group: Sequence[Cell]) -> str:
    """Accuracy on questions spread evenly over those of each seed: all bases are among them."""
    chosen = []
    for cell in group:
        correct = correct_of(cell, "greedy")
        count = min(PAPERS_QUESTIONS, len(correct))
        chosen += [correct[at * len(correct) // count] for at in range(count)]
    return percent(Proportion.of(sum(chosen), len(chosen)))


def text(cells: Sequence[Cell]) -> Table:
    """Return the table of perplexity of held-out text, and of the texture of written and held-out text."""
    table = markdown_table(
        "", "perplexity", "seeds", "edits", "distinct 4-grams", "entropy, nats", "repeated 4-grams"
    )
    groups = grouped(cells, "arm")
    for (arm,), group in groups.items():
        seeds = ", ".join(f"{cell['perplexity']:.3f}" for cell in group)
        table.add_row(
            arm, f"{mean(group, 'perplexity'):.3f}", seeds, f"{mean(group, 'edits'):.2f}",
            *_texture(group, "continued"),
        )  # fmt: skip
    table.add_row("the text itself", "", "", "", *_texture(list(cells), "reference"))
    return table


def _texture(group: Sequence[Cell], of: str) -> list[str]:
    return [
        f"{100 * mean(group, of, 'distinct'):.1f} %",
        f"{mean(group, of, 'entropy'):.2f}",
        f"{100 * mean(group, of, 'repeated'):.2f} %",
    ]


def regret(cells: Sequence[Cell]) -> Table:
    """Return the table of mean regret over seeds at each length."""
    lengths = list(dict.fromkeys(cell["length"] for cell in cells))
    table = markdown_table("", *(f"L = {length}" for length in lengths))
    groups = grouped(cells, "arm", "length")
    for arm in dict.fromkeys(cell["arm"] for cell in cells):
        table.add_row(arm, *(f"{mean(groups[arm, length], 'regret'):.2f}" for length in lengths))
    return table


def arithmetic_plot(cells: Sequence[Cell]) -> Plot:
    """Return the plot of the accuracy of each arm and seed."""
    lines = [
        Line(arm, {how: [_right(cell, how) for cell in group] for how in ("greedy", "banned", "T=1")})
        for (arm,), group in grouped(cells, "arm").items()
    ]
    return Plot("Sums and differences in several bases", "decoding", "right, %", lines)


def _right(cell: Cell, how: str) -> float:
    correct = pooled([cell], how)
    return 100 * sum(correct) / len(correct)


def text_plot(cells: Sequence[Cell]) -> Plot:
    """Return the plot of the texture of each arm, and of the text."""
    lines = [
        Line(arm, {key: [100 * cell["continued"][key] for cell in group] for key in ("distinct", "repeated")})
        for (arm,), group in grouped(cells, "arm").items()
    ]
    keys = ("distinct", "repeated")
    lines.append(
        Line("the text itself", {key: [100 * cell["reference"][key] for cell in cells] for key in keys})
    )
    return Plot("Texture of continuations", "4-grams", "%", lines)


def regret_plot(cells: Sequence[Cell]) -> Plot:
    """Return the plot of regret over lengths."""
    lines = []
    for (arm,), of_arm in grouped(cells, "arm").items():
        by_length = grouped(of_arm, "length").items()
        values = {str(length): [cell["regret"] for cell in group] for (length,), group in by_length}
        lines.append(Line(arm, values))
    return Plot("Slips in 5 % of actions, none in the data", "length L", "actions with an error left", lines)
