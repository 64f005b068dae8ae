"""Plots of experiments: places are names in order, or numbers to scale."""

import pytest
from matplotlib.axes import Axes

from halluc_plugin.recipes.lab.plotting import Line, Plot, draw


@pytest.mark.parametrize(("to_scale", "expected"), [(True, [5.0, 50.0]), (False, [0, 1])])
def test_where_places_are(tmp_path, monkeypatch, to_scale, expected):
    """To scale the mark for 50 is ten times as far as that for 5, else it is the next one."""
    drawn = []
    plot = Axes.plot
    monkeypatch.setattr(
        Axes, "plot", lambda self, x, *rest, **kw: drawn.append(x) or plot(self, x, *rest, **kw)
    )
    lines = [Line("one", {"5": [1.0, 2.0], "50": [3.0, 5.0]})]
    draw(Plot("title", "x", "y", lines, to_scale=to_scale), tmp_path / "plot.png")
    assert drawn[0] == expected
    assert (tmp_path / "plot.png").stat().st_size > 100
