"""``halluc theory``: figures, their numbers, and its errors."""

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.errors import SettingsError
from halluc_plugin.theory import Mean
from halluc_plugin.theory.studies import STUDIES
from halluc_plugin.theory.study import Comparison, Kind

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """All studies at 2000 runs a point: the folder and what was printed."""
    pytest.importorskip("matplotlib")
    out = tmp_path_factory.mktemp("theory")
    result = CliRunner().invoke(
        app, ["theory", "--out", str(out), "--samples", "2000"], catch_exceptions=False
    )
    assert result.exit_code == 0
    return out, result.output


@pytest.mark.parametrize("name", STUDIES)
def test_each_study_writes_a_figure_and_its_numbers(written, name):
    """The PNG is under 100 kB; the JSON holds every plotted series, with limits around simulated points."""
    out, _ = written
    image = (out / f"{name}.png").read_bytes()
    record = json.loads((out / f"{name}.json").read_text())
    assert image.startswith(PNG_SIGNATURE)
    assert len(image) < 100_000
    assert (record["name"], record["seed"], record["samples"]) == (name, 0, 2000)
    kinds = set()
    for series in (s for panel in record["panels"] for s in panel["series"]):
        kinds.add(series["kind"])
        assert len(series["x"]) == len(series["y"]) > 0
        assert np.isfinite(series["y"]).all()
        limits = zip(series["low"], series["y"], series["high"], strict=True) if series["low"] else ()
        assert all(low <= y <= high for low, y, high in limits)
        assert bool(series["low"]) == (series["kind"] == Kind.SIMULATED)
    assert {Kind.EXACT, Kind.SIMULATED} <= kinds


def test_tables_set_closed_forms_beside_simulations(written):
    """The tables name each study and its exact numbers: 0.8157 of the recovery law, 7200 of mod-10."""
    out, output = written
    for name in STUDIES:
        assert json.loads((out / f"{name}.json").read_text())["title"].split(" (")[0] in output
    assert "0.8157" in output
    assert "7200" in output


def test_a_study_alone_gives_the_same_numbers(written, tmp_path):
    """What a study simulates does not depend on which others run with it."""
    out, _ = written
    command = ["theory", "final-errors", "--out", str(tmp_path), "--samples", "2000"]
    CliRunner().invoke(app, command, catch_exceptions=False)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["final-errors.json", "final-errors.png"]
    assert (tmp_path / "final-errors.json").read_text() == (out / "final-errors.json").read_text()


def test_comparison_knows_whether_the_interval_holds_the_exact_value():
    """Limits included."""
    mean = Mean(2.0, 10, 1.0, 3.0)
    assert Comparison("x", 3.0, mean).inside
    assert not Comparison("x", 3.1, mean).inside


def test_unknown_study_names_the_nearest_one(tmp_path):
    """A typo is answered with the name it resembles, before anything is written."""
    with pytest.raises(SettingsError, match=r"no study 'regrets'.*Did you mean regret\?"):
        CliRunner().invoke(app, ["theory", "regrets", "--out", str(tmp_path / "x")], catch_exceptions=False)
    assert not (tmp_path / "x").exists()


def test_missing_matplotlib_names_what_to_install(tmp_path, monkeypatch):
    """Without matplotlib the error says what to install."""
    for module in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    command = ["theory", "final-errors", "--out", str(tmp_path), "--samples", "2"]
    with pytest.raises(SettingsError, match="pip install matplotlib"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_theory_needs_only_numpy():
    """Importing the package loads neither torch nor matplotlib."""
    code = "import sys, halluc_plugin.theory.studies; print({'torch', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
