"""A study: the numbers of one figure, and closed forms set beside simulations. Holds them, draws nothing."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from halluc_plugin.theory.estimates import Estimate


class Kind(StrEnum):
    """Where the numbers of a series come from."""

    EXACT = "exact"
    """A closed form, or an exact recursion; a line."""
    SIMULATED = "simulated"
    """A simulation; markers with 95 % intervals."""
    CLAIMED = "claimed"
    """The usual statement, shown because it is wrong; a broken line."""


@dataclass(frozen=True)
class Series:
    """One line, or one set of markers.

    Attributes:
        label: What it shows; simulated series repeat the label of the line they check.
        kind: Where its numbers come from.
        x: Abscissae.
        y: Ordinates, as many.
        colour: Index into the palette: a line and the markers that check it share one.
        low: Lower limits of the 95 % intervals; simulated series have them, others have none.
        high: Upper limits, likewise.
    """

    label: str
    kind: Kind
    x: Sequence[float]
    y: Sequence[float]
    colour: int
    low: Sequence[float] = ()
    high: Sequence[float] = ()

    @classmethod
    def simulated(
        cls, label: str, x: Sequence[float], estimates: Sequence[Estimate], colour: int
    ) -> "Series":
        """Markers at ``x`` from as many estimates."""
        values = [e.value for e in estimates]
        lows, highs = [e.low for e in estimates], [e.high for e in estimates]
        return cls(label, Kind.SIMULATED, x, values, colour, lows, highs)


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: What the panel says, as a short sentence.
        x_label: Abscissa with its unit.
        y_label: Ordinate with its unit.
        series: What is drawn, in order.
        x_log: Whether the abscissa is logarithmic.
        y_log: Whether the ordinate is logarithmic.
        y_limits: Range of the ordinate; None lets the figure choose.
    """

    title: str
    x_label: str
    y_label: str
    series: list[Series]
    x_log: bool = False
    y_log: bool = False
    y_limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Comparison:
    """One quantity in closed form and simulated.

    Attributes:
        quantity: What it is, with its parameters.
        exact: Closed form or exact recursion.
        simulated: The simulation's estimate of it.
    """

    quantity: str
    exact: float
    simulated: Estimate

    @property
    def inside(self) -> bool:
        """Whether the exact value lies in the 95 % interval; by chance one in twenty does not."""
        return self.simulated.low <= self.exact <= self.simulated.high


@dataclass(frozen=True)
class Study:
    """One figure's worth of theory.

    Attributes:
        name: Its name on the command line and in file names.
        title: What it is about.
        comparisons: Closed forms beside simulations.
        panels: What the figure shows.
    """

    name: str
    title: str
    comparisons: list[Comparison]
    panels: list[Panel]

    def record(self, *, seed: int, samples: int) -> dict[str, Any]:
        """All numbers, plotted and compared, as a JSON-able dict."""
        comparisons = [asdict(c) | {"inside": c.inside} for c in self.comparisons]
        return asdict(self) | {"comparisons": comparisons, "seed": seed, "samples": samples}
