"""Small runs of the experiment: that it resumes, counts and refuses."""

import json

import pytest

from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.recipes.when_it_pays import run
from halluc_plugin.recipes.when_it_pays.bench import Bench, trained
from halluc_plugin.recipes.when_it_pays.cells import Cells
from halluc_plugin.recipes.when_it_pays.grids import Part, specs
from halluc_plugin.recipes.when_it_pays.scale import FULL, QUICK
from halluc_plugin.recipes.when_it_pays.specs import Form, Judge


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A quick run of three arms."""
    folder = tmp_path_factory.mktemp("run")
    run.main(folder, seeds=1, part=[Part.GRID], arm=["clean", "text twin", "hard"], quick=True)
    return folder


def cell(out, name):
    """A kept measurement of the grid."""
    return json.loads((out / "seed-0" / "cells" / f"grid, {name}.json").read_text())


def test_cells_say_what_answers_took(out):
    """Each problem has an answer; contexts are counted with prompts; edits have a D and a banned twin."""
    for name in ("clean", "text twin", "hard"):
        found = cell(out, name)
        assert len(found["correct"]) == QUICK.test
        assert 14 < found["live"] <= found["peak"] <= 14 + 130
        assert 1 <= found["tokens"] <= 130
        assert ("correct_banned" in found) is (name != "clean")
        assert ("p_edit_dead" in found) is (name == "hard")


def test_answers_are_cut_off(out):
    """What stands after so many tokens is judged and counted; only answers that reject are cut."""
    for name in ("text twin", "hard"):
        found = cell(out, name)
        assert list(found["cut"]) == [str(limit) for limit in QUICK.curve]
        for limit, cut in found["cut"].items():
            assert cut["tokens"] <= int(limit)
            assert cut["flops"] <= found["flops"]
            assert len(cut["correct"]) == QUICK.test
    assert "cut" not in cell(out, "clean")


def test_training_is_counted(out):
    """Tokens are rows of prompt and trace; a clean trace has one decision and needs no oracle."""
    told = cell(out, "clean")["trained"]
    given = QUICK.steps * QUICK.batch
    assert told["tokens"] == given * (14 + 10)
    assert told["decisions"] == given
    assert told["labels"] == 0
    assert told["flops"] > 0
    hard = cell(out, "hard")["trained"]
    assert hard["labels"] * given == pytest.approx(hard["decisions"] * QUICK.train)
    assert hard["labels"] > QUICK.train


def test_parallel_answers_cost_their_number(out):
    """More answers take more tokens, and share the prompt; there is an answer from each start."""
    one, four = cell(out, "majority, n=1"), cell(out, "majority, n=4")
    assert one["tokens"] < four["tokens"] < 130 * 4
    assert one["flops"] < four["flops"] < 4 * one["flops"] * 1.5
    tried, best = cell(out, "tries with the check, n=4"), cell(out, "best of n, n=4")
    assert tried["correct"] == best["correct"]
    assert tried["tokens"] <= best["tokens"]
    assert len(cell(out, "distinct starts")["correct"]) == QUICK.test


def test_a_second_start_makes_nothing_anew(out, monkeypatch, capsys):
    """Models and cells are kept, and tables written from them."""
    monkeypatch.setattr(Bench, "_teach", None)
    run.main(out, seeds=1, part=[Part.GRID], arm=["clean", "text twin", "hard"], quick=True)
    assert "text twin" in (out / "tables" / "arms.md").read_text()
    assert (out / "plots" / "compute.png").stat().st_size > 1000
    kept = json.loads((out / "tables" / "cells.json").read_text())
    assert {len(each["correct"]) for each in kept} == {QUICK.test}
    assert "grid, seed 0: clean" in capsys.readouterr().err


def test_unknown_models_are_refused(tmp_path):
    """Before anything is made."""
    with pytest.raises(SettingsError, match="no model 'softer'"):
        list(Cells(Bench(tmp_path / "x", QUICK, 0)).made(Part.GRID, ["softer"]))
    assert not (tmp_path / "x").exists()


def test_parts_hold_what_the_issue_asks():
    """The grid has every form, and the clean one with more steps; judges have the D of their names."""
    grid = specs(Part.GRID, FULL)
    assert {spec.form for spec in grid.values()} == set(Form)
    assert max(spec.steps for spec in grid.values()) == 10 * FULL.steps
    for name, spec in specs(Part.LEARNING, FULL).items():
        assert 1 - spec.judge.missed - spec.judge.false_alarms == pytest.approx(
            float(name.removeprefix("D "))
        )
    erased = specs(Part.ERASED, FULL).values()
    assert len({(s.problems, s.erased_tokens, s.decisions) for s in erased}) == 12


@pytest.mark.slow
def test_every_part_runs(tmp_path):
    """All models of all parts, small and short."""
    run.main(tmp_path, seeds=1, quick=True)
    parts = {path.name.partition(", ")[0] for path in (tmp_path / "seed-0" / "cells").glob("*.json")}
    assert parts == set(Part)


def test_cells_of_another_run_are_in_the_tables(out, tmp_path, capsys):
    """What a run writes of its cells makes the same tables in another folder; other files are refused."""
    kept = out / "tables" / "cells.json"
    run.report(out)
    run.main(tmp_path, seed=[], known=[kept], quick=True)
    for name in ("arms", "compute", "training"):
        assert (tmp_path / "tables" / f"{name}.md").read_text() == (out / "tables" / f"{name}.md").read_text()
    assert json.loads((tmp_path / "tables" / "cells.json").read_text()) == json.loads(kept.read_text())
    broken = tmp_path / "broken.json"
    broken.write_text('[{"seed": 0}]')
    for path in (broken, tmp_path / "none.json"):
        with pytest.raises(DataError, match="holds no cells"):
            run.main(tmp_path, seed=[], known=[path], quick=True)


def test_a_start_that_sees_begins_with_the_flawless_model(tmp_path):
    """What it took is counted with what that model took; a start of D = 0 is made from nothing."""
    bench = Bench(tmp_path, QUICK, 0)
    known = specs(Part.LEARNING, QUICK)
    seeing, blind = (trained(bench.model(name, known[name])) for name in ("D 0.5", "D 0"))
    flawless = trained(tmp_path / "seed-0" / "hard" / "model")
    assert flawless["steps"] == blind["steps"] == QUICK.steps
    assert seeing["steps"] == QUICK.steps + QUICK.weak_steps
    assert seeing["tokens"] > flawless["tokens"]
    assert known["D 0.5"].judge == Judge(missed=pytest.approx(0.45), false_alarms=0.05)
