"""The curves of the experiment."""

from collections.abc import Iterator, Mapping, Sequence

from halluc_plugin.recipes.lab.plotting import Line, Plot
from halluc_plugin.recipes.lab.tabulating import Cell, Group
from halluc_plugin.recipes.when_it_pays.parallel import TRIES
from halluc_plugin.recipes.when_it_pays.specs import Form
from halluc_plugin.recipes.when_it_pays.tables import points_of

MOST = 160.0
"""Largest number of MFLOPs that is drawn."""
LINES = (str(Form.TWIN), str(Form.SOFT), str(Form.HARD), TRIES, "best of n", "majority")


def plots(cells: Sequence[Cell]) -> Iterator[tuple[str, Plot]]:
    """Yield the plots for which there are cells."""
    points = points_of(cells)
    lines = [_line(name, points) for name in LINES]
    if drawn := [line for line in lines if line.values]:
        yield (
            "compute",
            Plot(
                "Accuracy over the compute of an answer",
                "MFLOPs of an answer",
                "right, %",
                drawn,
                to_scale=True,
            ),
        )


def _line(label: str, points: Mapping[str, Group]) -> Line:
    chosen = [group for name, group in points.items() if name.startswith(f"{label}, ")]
    values = {
        _flops(group): [100 * sum(cell["correct"]) / len(cell["correct"]) for cell in group]
        for group in chosen
    }
    return Line(label, {f"{place:.2f}": values[place] for place in sorted(values) if place < MOST})


def _flops(group: Group) -> float:
    return sum(cell["flops"] for cell in group) / len(group) / 1e6
