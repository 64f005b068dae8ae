"""Draw a study. This module alone needs matplotlib, the extra ``plots``."""

from pathlib import Path
from typing import Any

from halluc_plugin.atomic_files import whole_file
from halluc_plugin.errors import SettingsError
from halluc_plugin.theory.study import Kind, Panel, Series, Study

# Okabe and Ito's palette: told apart with any colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
SIZE_INCHES = (5.4, 4.5)  # of one panel
LINE_STYLES = {Kind.EXACT: "-", Kind.CLAIMED: "--"}


def draw(study: Study, path: Path) -> None:
    """Write the study's figure as a PNG.

    Args:
        study: What to draw.
        path: The file to write.

    Raises:
        SettingsError: matplotlib is not installed.
    """
    try:
        # The object interface: no global state, no display, whatever backend the user has set.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SettingsError(f"Figures need matplotlib ({error}).", "Run `pip install matplotlib`.") from error
    width, height = SIZE_INCHES
    figure = Figure(figsize=(width * len(study.panels), height), layout="constrained")
    FigureCanvasAgg(figure)
    row = figure.subplots(1, len(study.panels), squeeze=False)[0]
    for axes, panel in zip(row, study.panels, strict=True):
        _draw_panel(axes, panel)
    # No software version in the file: the same numbers give the same bytes.
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=100, metadata={"Software": None})


def _draw_panel(axes: Any, panel: Panel) -> None:
    for series in panel.series:
        if series.kind is Kind.SIMULATED:
            _draw_markers(axes, series)
        else:
            axes.plot(
                series.x, series.y, LINE_STYLES[series.kind], color=PALETTE[series.colour], label=series.label
            )
    if any(series.kind is Kind.SIMULATED for series in panel.series):
        axes.errorbar([], [], yerr=[], fmt="o", ms=4, color="0.3", label="simulation, 95 % interval")
    if panel.x_log:
        axes.set_xscale("log")
    if panel.y_log:
        axes.set_yscale("log")
    if panel.y_limits:
        axes.set_ylim(*panel.y_limits)
    axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    axes.title.set_fontsize(11)
    axes.grid(visible=True, color="0.9", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    # Below the axes, where it hides no data.
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.13))


def _draw_markers(axes: Any, series: Series) -> None:
    below = [y - low for y, low in zip(series.y, series.low, strict=True)]
    above = [high - y for y, high in zip(series.y, series.high, strict=True)]
    axes.errorbar(
        series.x, series.y, yerr=[below, above], fmt="o", ms=4, capsize=2, color=PALETTE[series.colour]
    )
