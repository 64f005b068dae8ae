"""The curves of the experiment."""

from collections.abc import Iterator, Sequence

from halluc_plugin.recipes.lab.plotting import Line, Plot
from halluc_plugin.recipes.lab.tabulating import Cell, Group
from halluc_plugin.recipes.when_it_pays.grids import Part
from halluc_plugin.recipes.when_it_pays.specs import Form
from halluc_plugin.recipes.when_it_pays.tables import of

SEQUENTIAL = (str(Form.SOFT), str(Form.HARD))
PARALLEL = ("majority", "best of n")


def plots(cells: Sequence[Cell]) -> Iterator[tuple[str, Plot]]:
    """Yield the plots for which there are cells."""
    groups = of(cells, Part.GRID)
    lines = [
        *(_line(name, groups, f"{name}, at most ") for name in SEQUENTIAL),
        *(_line(name, groups, f"{name}, n=") for name in PARALLEL),
    ]
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


def _line(label: str, groups: dict[str, Group], prefix: str) -> Line:
    chosen = [group for name, group in groups.items() if name.startswith(prefix)]
    chosen += [groups[label]] if label in groups else []
    points = {
        _flops(group): [100 * sum(cell["correct"]) / len(cell["correct"]) for cell in group]
        for group in chosen
    }
    return Line(label, {f"{place:.2f}": points[place] for place in sorted(points)})


def _flops(group: Group) -> float:
    return sum(cell["flops"] for cell in group) / len(group) / 1e6
