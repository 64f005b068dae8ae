"""Draw line plots of experiments: means over seeds, with a mark for each seed, or intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from halluc_plugin.atomic_files import whole_file
from halluc_plugin.errors import SettingsError
from halluc_plugin.theory.figures import PALETTE

SIZE_INCHES = (6.4, 4.4)
FEW, LEGEND_INCHES = 4, 2.2
"""A legend of more lines stands beside the plot, which is that much wider."""
STYLES = ("-", "--", ":")
"""The line styles, each used in all colours before the next."""


@dataclass(frozen=True)
class Line:
    """One series: the values of the seeds at each place on the x axis, and an interval where one is known."""

    label: str
    values: Mapping[str, Sequence[float]]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plot:
    """The content of a plot; places on the x axis are names in order, or numbers with ``to_scale``."""

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    to_scale: bool = False


def draw(plot: Plot, path: Path) -> None:
    """Write a plot as a PNG.

    Raises:
        SettingsError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SettingsError(f"Plots need matplotlib ({error}).", "Run `pip install matplotlib`.") from error
    beside = len(plot.lines) > FEW
    width, height = SIZE_INCHES
    figure = Figure(figsize=(width + beside * LEGEND_INCHES, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = list(dict.fromkeys(place for line in plot.lines for place in line.values))
    where = {place: float(place) if plot.to_scale else number for number, place in enumerate(places)}
    for number, line in enumerate(plot.lines):
        colour = PALETTE[number % len(PALETTE)]
        style = STYLES[number // len(PALETTE) % len(STYLES)]
        at = [where[place] for place in line.values]
        means = [sum(values) / len(values) for values in line.values.values()]
        axes.plot(at, means, style, color=colour, label=line.label, marker="o", markersize=3)
        for place, values in zip(at, line.values.values(), strict=True):
            axes.plot([place] * len(values), values, "_", color=colour, alpha=0.6)
        for name, limits in line.intervals.items():
            axes.plot([where[name]] * 2, limits, "-", color=colour, alpha=0.6)
    if not plot.to_scale:
        axes.set_xticks(range(len(places)), places, rotation=20 if len(places) > 5 else 0, fontsize=8)
    axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
    if beside:
        figure.legend(fontsize=7, loc="outside right upper")
    else:
        axes.legend(fontsize=7)
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=90, metadata={"Software": None})
