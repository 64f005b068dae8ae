"""Curves of runs as a figure, and ``halluc plot``."""

import json
import re

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.errors import SettingsError
from halluc_plugin.run_metrics import RunMetrics
from halluc_plugin.run_plots import draw_runs

pytest.importorskip("matplotlib")

STEP = {
    "backtrack/acc": 0.5,
    "backtrack/raw_length": 20.0,
    "backtrack/d": 0.5,
    "backtrack/d_low": 0.2,
    "backtrack/d_high": 0.8,
}
RUN = RunMetrics("mine", {1: STEP, 2: STEP})


def texts(path):
    """What an SVG says."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())


def test_each_kind_of_number_has_a_chart(tmp_path):
    """Titles, axes and labels of what was logged are in the figure, and of nothing else."""
    draw_runs([RUN], tmp_path / "c.svg")
    said = texts(tmp_path / "c.svg")
    for text in ("Accuracy", "training, edits applied", "Tokens an answer", "sampled", "D", "step"):
        assert text in said
    assert "Edits an answer" not in said


def test_runs_lie_on_top_of_one_another(tmp_path):
    """Each line is named after its run; a chart that only one run has is there, too."""
    other = RunMetrics("other", {1: {"backtrack/acc": 0.25, "backtrack/per_answer": 1.0}})
    draw_runs([RUN, other], tmp_path / "c.svg")
    said = texts(tmp_path / "c.svg")
    for text in ("mine: training, edits applied", "other: training, edits applied", "other: edits"):
        assert text in said
    assert "mine: edits" not in said


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_the_same_numbers_give_the_same_bytes(tmp_path, ending):
    """In each format: no date and no version of software is in the file."""
    for name in ("a", "b"):
        draw_runs([RUN], tmp_path / f"{name}.{ending}")
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


@pytest.mark.parametrize(
    ("run", "name", "said"),
    [
        (RUN, "c.txt", "does not say a format of figures"),
        (RUN, "c", "does not say a format of figures"),
        (RunMetrics("mine", {1: {"actor/loss": 1.0}}), "c.svg", "mine: nothing was logged that is drawn"),
    ],
)
def test_what_cannot_be_drawn(tmp_path, run, name, said):
    """Is one line, and leaves no file."""
    with pytest.raises(SettingsError, match=said):
        draw_runs([run], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path):
    """Runs of one name are told apart by their paths; what is no run is named."""
    for folder in ("a/run", "b/run"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "metrics.jsonl").write_text(json.dumps({"step": 1, **STEP}) + "\n")
    runs = [str(tmp_path / folder) for folder in ("a/run", "b/run")]
    done = CliRunner().invoke(app, ["plot", *runs, "--out", str(tmp_path / "c.svg")])
    assert f"2 runs drawn: {tmp_path / 'c.svg'}" in done.stdout
    assert f"{runs[1]}: D" in texts(tmp_path / "c.svg")
    nothing = CliRunner().invoke(app, ["plot", str(tmp_path)])
    assert "holds no metrics of a run" in str(nothing.exception)
