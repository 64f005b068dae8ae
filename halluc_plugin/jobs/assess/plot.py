"""Draw the figure of an assessment: predictions against samples at equal tokens, and the signals."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halluc_plugin.atomic_files import whole_file
from halluc_plugin.edits import Context
from halluc_plugin.errors import SettingsError
from halluc_plugin.jobs.assess.advice import headline
from halluc_plugin.jobs.assess.measures import Measured
from halluc_plugin.jobs.assess.predictions import Detection, Prediction
from halluc_plugin.jobs.assess.signals import Signals
from halluc_plugin.theory.figures import PALETTE
from halluc_plugin.theory.search_law import Unit

SIZE_INCHES = (11.0, 4.4)
MARKERS = {Unit.TOKEN: "v", Unit.STEP: "o", Unit.RESTART: "s"}
COLOURS = {Context.SOFT: PALETTE[1], Context.HARD: PALETTE[0]}


def draw(measured: Measured, signals: Signals, predictions: Sequence[Prediction], path: Path) -> None:
    """Write the figure of an assessment as a PNG.

    Raises:
        SettingsError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SettingsError(f"Plots need matplotlib ({error}).", "Run `pip install matplotlib`.") from error
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _accuracies(left, measured, predictions)
    _signals(right, signals)
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=90, metadata={"Software": None})


def _accuracies(axes: Any, measured: Measured, predictions: Sequence[Prediction]) -> None:
    for label, worth, colour in (
        ("majority of k", measured.majority_at, PALETTE[3]),
        ("best of k, free check", measured.pass_at, PALETTE[2]),
    ):
        tokens = [k * measured.tokens for k in worth]
        axes.plot(tokens, [share.value for share in worth.values()], "-", color=colour, label=label)
        lows, highs = [share.low for share in worth.values()], [share.high for share in worth.values()]
        axes.fill_between(tokens, lows, highs, color=colour, alpha=0.15, linewidth=0)
    top = headline(predictions)
    for each in predictions:
        if each.detection not in {top, Detection.NOW}:
            continue
        filled = each.detection is top
        label = f"{each.unit}, {each.context}" if filled else "_"
        colour = COLOURS[each.context]
        axes.plot(
            each.tokens, each.success, MARKERS[each.unit], color=colour,
            markerfacecolor=colour if filled else "none", label=label,
        )  # fmt: skip
    axes.set(
        title=f"Predicted, {top} (filled) and now (open)", xlabel="tokens an answer",
        ylabel="P(answer right)", ylim=(0, 1.03),
    )  # fmt: skip
    axes.grid(visible=True, color="0.9", linewidth=0.7)
    axes.legend(fontsize=7)


def _signals(axes: Any, signals: Signals) -> None:
    names = list(signals.measured)
    for place, name in enumerate(names):
        auc = signals.measured[name].ranked.auc
        ends = [[auc.value - auc.low], [auc.high - auc.value]]
        axes.errorbar([auc.value], [place], xerr=ends, fmt="o", capsize=2, color=PALETTE[0])
    axes.axvline(0.5, color="0.6", linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set(
        title="Dead from live, before any edit", xlabel="AUC, 95 % interval", xlim=(0, 1.03),
        ylim=(-0.7, max(1, len(names)) - 0.3),
    )  # fmt: skip
