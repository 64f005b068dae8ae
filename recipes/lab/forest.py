"""Draw forest plots: effects with their intervals, one below the other."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from halluc_plugin.atomic_files import whole_file
from halluc_plugin.errors import SettingsError

PLAIN, SURE = "#9a9a9a", "#1b6ca8"
"""Colours of intervals that hold 0, and of those that do not."""
WIDTH, MARGIN, LINE = 8.0, 1.1, 0.3
"""Inches: the plot's width, what title and axis take, and what an effect takes."""


@dataclass(frozen=True)
class Effect:
    """A difference with the ends of its 95 % interval, in the unit of its table.

    Args:
        label: Label of the effect, which says what is compared.
        value: The difference.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    label: str
    value: float
    low: float
    high: float


def draw(title: str, shown: Sequence[Effect], path: Path) -> None:
    """Write a forest plot as a PNG, which holds the effects in its text field ``Description``.

    Args:
        title: Title of the plot.
        shown: The effects, from top to bottom.
        path: The file to write.

    Raises:
        SettingsError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SettingsError(f"Plots need matplotlib ({error}).", "Run `pip install matplotlib`.") from error
    figure = Figure(figsize=(WIDTH, MARGIN + LINE * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = range(len(shown), 0, -1)
    for place, effect in zip(places, shown, strict=True):
        colour = PLAIN if effect.low <= 0 <= effect.high else SURE
        axes.plot([effect.low, effect.high], [place, place], color=colour, linewidth=1.6)
        axes.plot(effect.value, place, "o", color=colour, markersize=5)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(places, [effect.label for effect in shown], fontsize=8)
    axes.set(title=title, xlabel="difference and its 95 % interval; blue where the interval excludes 0")
    axes.title.set_fontsize(9)
    axes.xaxis.label.set_fontsize(8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", alpha=0.3)
    values = axes.secondary_yaxis("right")
    values.set_yticks(places, [_written(effect) for effect in shown], fontsize=8)
    values.tick_params(length=0)
    with whole_file(path) as partial:
        metadata = {"Software": None, "Description": described(shown)}
        figure.savefig(partial, format="png", dpi=100, metadata=metadata)


def described(shown: Sequence[Effect]) -> str:
    """Return the text that a picture holds of its effects, to the digits of the tables.

    Args:
        shown: The effects.
    """
    return json.dumps([{k: round(v, 3) if k != "label" else v for k, v in asdict(e).items()} for e in shown])


def _written(effect: Effect) -> str:
    """The effect as the tables write it."""
    if abs(effect.value - effect.low - (effect.high - effect.value)) < 1e-9:
        return f"{effect.value:+.1f} ± {effect.high - effect.value:.1f}".replace("-", "\u2212")
    return f"{effect.value:+.1f} [{effect.low:+.1f}, {effect.high:+.1f}]".replace("-", "\u2212")
