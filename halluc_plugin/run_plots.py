"""Draw the charts of training runs in one figure. This needs matplotlib, the extra ``plots``."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halluc_plugin.atomic_files import whole_file
from halluc_plugin.errors import SettingsError
from halluc_plugin.run_charts import Chart, Series, charts
from halluc_plugin.run_metrics import RunMetrics
from halluc_plugin.theory.figures import PALETTE

FORMATS = ("svg", "png", "pdf")
COLUMNS, WIDTH_INCHES, HEIGHT_INCHES, DPI = 2, 7.0, 3.6, 110
STYLES = ("-", "--", ":", "-.")
"""The line styles of the runs, in order; colours tell the lines of a chart apart."""
SALT = "halluc"
"""The salt of names inside an SVG, so that the same numbers give the same bytes."""


def draw_runs(runs: Sequence[RunMetrics], path: Path) -> None:
    """Draw runs on top of one another, one chart for each kind of metric that any of them logged.

    Args:
        runs: The runs, whose names must differ. Lines are solid for the first run, dashed for the second, and
            so on.
        path: The file to write; its suffix decides the format.

    Raises:
        SettingsError: No format has this suffix, matplotlib is not installed, or the runs logged nothing that
            is drawn.
    """
    form = path.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        raise SettingsError(
            f"{path} does not say a format of figures.", f"End its name in .{', .'.join(FORMATS)}."
        )
    drawn = [{chart.key: chart for chart in charts(run)} for run in runs]
    keys = list(dict.fromkeys(key for charts_of_run in drawn for key in charts_of_run))
    if not keys:
        raise SettingsError(
            f"{', '.join(run.name for run in runs)}: nothing was logged that is drawn.",
            "Train with trainer.v1.trainer_mode=backtrack_sync or the reward manager backtrack, or validate.",
        )
    try:
        # The object interface: no global state, no display, whatever backend the user has set.
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SettingsError(
            f"Figures need matplotlib ({error}).", "Run `pip install matplotlib`, or install halluc[plots]."
        ) from error
    rows = math.ceil(len(keys) / COLUMNS)
    figure = Figure(figsize=(COLUMNS * WIDTH_INCHES, rows * HEIGHT_INCHES), layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for axes, key in zip(places, keys, strict=False):
        _draw_chart(axes, [(run.name, found.get(key)) for run, found in zip(runs, drawn, strict=True)])
    for axes in places[len(keys) :]:
        axes.set_axis_off()
    with whole_file(path) as partial, mpl.rc_context({"svg.hashsalt": SALT, "svg.fonttype": "none"}):
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}[form]
        figure.savefig(partial, format=form, dpi=DPI, metadata=metadata)


def _draw_chart(axes: Any, found: Sequence[tuple[str, Chart | None]]) -> None:
    known = [chart for _, chart in found if chart is not None]
    labels = list(dict.fromkeys(series.label for chart in known for series in chart.series))
    for number, (name, chart) in enumerate(found):
        for series in chart.series if chart else ():
            colour = PALETTE[labels.index(series.label) % len(PALETTE)]
            # More lines than colours: the marks tell those apart that share one.
            mark = "os^Dv"[labels.index(series.label) // len(PALETTE) % 5]
            label = series.label if len(found) == 1 else f"{name}: {series.label}"
            _draw_line(axes, series, colour, STYLES[number % len(STYLES)] + mark, label)
    first = known[0]
    axes.set(title=first.title, xlabel="step", ylabel=first.y)
    if first.share:
        axes.set_ylim(-0.02, 1.02)
    axes.title.set_fontsize(10)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(visible=True, alpha=0.25)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _draw_line(axes: Any, series: Series, colour: str, style: str, label: str) -> None:
    axes.plot(series.steps, series.values, style, color=colour, label=label, markersize=3, linewidth=1.2)
    if series.low:
        axes.fill_between(series.steps, series.low, series.high, color=colour, alpha=0.15, linewidth=0)
