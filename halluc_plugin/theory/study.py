"""The data of a study: the numbers of one figure, and closed forms compared with simulations."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from halluc_plugin.theory.estimates import Estimate


class Kind(StrEnum):
    """The source of the numbers of a series."""

    EXACT = "exact"
    """A closed form, or an exact recursion; a line."""
    SIMULATED = "simulated"
    """A simulation; markers with 95 % intervals."""
    CLAIMED = "claimed"
    """The usual statement, shown because it is wrong; a broken line."""


@dataclass(frozen=True)
class Series:
    """One line of a panel, or one set of markers.

    Attributes:
        label: Label of the series; simulated series repeat the label of the line that they check.
        kind: The source of its numbers.
        x: Abscissa of each point.
        y: Ordinate of each point.
        colour: Index into the palette. A line and the markers that check it have the same.
        low: Lower limits of the 95 % intervals, for simulated series; otherwise none.
        high: Upper limits of the 95 % intervals, for simulated series; otherwise none.
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
        """Return the markers at ``x`` for one estimate each."""
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
        series: The series to draw, in order.
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
    """One quantity, in closed form and simulated.

    Attributes:
        quantity: Name of the quantity, with its parameters.
        exact: The value by a closed form or an exact recursion.
        simulated: The estimate by a simulation.
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
    """The theory behind one figure.

    Attributes:
        name: Name on the command line and in file names.
        title: Title of the study.
        comparisons: The comparisons of closed forms with simulations.
        panels: The panels of the figure.
    """

    name: str
    title: str
    comparisons: list[Comparison]
    panels: list[Panel]

    def record(self, *, seed: int, samples: int) -> dict[str, Any]:
        """Return all numbers, plotted and compared, as a JSON-able dict."""
        comparisons = [asdict(c) | {"inside": c.inside} for c in self.comparisons]
        return asdict(self) | {"comparisons": comparisons, "seed": seed, "samples": samples}
