"""SCoRe's experiment, in short; it is not run again."""

import json

import pytest
from typer.testing import CliRunner

from halluc_plugin.recipes.score import run
from halluc_plugin.recipes.score.models import Arm
from halluc_plugin.recipes.score.scale import QUICK


@pytest.mark.slow
def test_the_experiment_runs_and_is_not_run_again(tmp_path):
    """It leaves a table and a plot; a second start makes those alone anew, from the cells."""
    app = run.typer.Typer()
    app.command()(run.main)

    def invoke():
        before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
        args = ["--out", str(tmp_path), "--seeds", "1", "--task", "chain", "--quick"]
        assert CliRunner().invoke(app, args, catch_exceptions=False).exit_code == 0
        return {f for f in tmp_path.rglob("*") if f.is_file() and before.get(f) != f.stat().st_mtime_ns}

    invoke()
    cells = {cell["arm"]: cell for cell in json.loads((tmp_path / "tables" / "cells.json").read_text())}
    assert list(cells) == [str(arm) for arm in Arm]
    for cell in cells.values():
        assert len(cell["first"]["correct"]) == len(cell["second"]["correct"]) == QUICK.asked
        assert 0 <= cell["changed"] <= 1
    steps = {arm: len(cell["curve"]) for arm, cell in cells.items()}
    assert steps == {Arm.TAUGHT: 0, Arm.PLAIN: 2, Arm.BONUS: 2, Arm.HELD: 1, Arm.SCORE: 1}
    spent = [cells[arm]["spent"]["sampled"] for arm in (Arm.TAUGHT, Arm.HELD, Arm.SCORE)]
    assert 0 < spent[0] < spent[1] < spent[2]
    made = {*(tmp_path / "tables").iterdir(), *(tmp_path / "plots").iterdir()}
    assert len(made) == 4
    assert invoke() <= made
