"""Score predictions by rank correlation and mean error, compared with predictors that know one number."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.box import MARKDOWN
from rich.table import Table

from halluc_plugin.atomic_files import whole_file
from halluc_plugin.theory.figures import PALETTE

PREDICTORS = {
    "the law": "predicted",
    "accuracy before": "before",
    "1 - rate of dead ends": "live",
}
"""Name -> where a cell has what it predicts of the accuracy with edits."""


def ranks(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the ranks of values from 0; equal values get the mean of their ranks."""
    array = np.asarray(values, dtype=np.float64)
    below = (array[:, None] > array[None, :]).sum(1)
    equal = (array[:, None] == array[None, :]).sum(1)
    return np.asarray(below + (equal - 1) / 2, dtype=np.float64)


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Spearman's rank correlation, or nan if one side does not vary."""
    a, b = ranks(one), ranks(other)
    if a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def mean_error(predicted: Sequence[float], observed: Sequence[float]) -> float:
    """Return the mean absolute error."""
    return float(np.mean(np.abs(np.asarray(predicted) - np.asarray(observed))))


def pairs_table(cells: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with a row for each pair."""
    table = Table(box=MARKDOWN)
    for heading in ("pair", "before", "predicted", "observed", "tokens predicted", "observed", "D after"):
        table.add_column(heading)
    for cell in cells:
        shares = (f"{100 * cell[name]:.1f}" for name in ("before", "predicted", "observed"))
        tokens = (f"{cell[name]:.1f}" for name in ("predicted_tokens", "observed_tokens"))
        gap = cell["p_edit_dead"], cell["p_edit_live"]
        known = None not in gap
        table.add_row(cell["pair"], *shares, *tokens, f"{gap[0] - gap[1]:.2f}" if known else "none")
    return table


def scores_table(cells: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with a row for each predictor of the accuracy with edits."""
    table = Table(box=MARKDOWN)
    for heading in (
        "predictor",
        "rank correlation",
        "mean error in points",
        "mean error of tokens, %",
        "pairs",
    ):
        table.add_column(heading)
    observed = [cell["observed"] for cell in cells]
    for name, key in PREDICTORS.items():
        predicted = [cell[key] for cell in cells]
        correlation = rank_correlation(predicted, observed) if len(cells) > 2 else float("nan")
        error = 100 * mean_error(predicted, observed)
        tokens = f"{100 * tokens_error(cells):.0f}" if key == "predicted" else ""
        table.add_row(name, f"{correlation:.2f}", f"{error:.1f}", tokens, str(len(cells)))
    return table


def tokens_error(cells: Sequence[Mapping[str, Any]]) -> float:
    """Return the mean relative error of the predicted number of tokens of an answer."""
    found = [abs(cell["predicted_tokens"] / cell["observed_tokens"] - 1) for cell in cells]
    return sum(found) / len(found)


def draw_pairs(cells: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw what came out over what each predictor said, in percent.

    Args:
        cells: The cells of the pairs.
        path: The PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100], color="#9a9a9a", linewidth=1, zorder=0)
    for (name, key), colour, mark in zip(PREDICTORS.items(), PALETTE, "o^s", strict=False):
        said, came = ([100 * cell[which] for cell in cells] for which in (key, "observed"))
        axes.scatter(said, came, color=colour, marker=mark, s=22, alpha=0.8, label=name)
    axes.set(
        title="Accuracy with edits, foretold and found", xlabel="foretold before training on edits, %",
        ylabel="found after it, %",
    )  # fmt: skip
    axes.legend(fontsize=8, loc=(0.56, 0.2))
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=90, metadata={"Software": None})
