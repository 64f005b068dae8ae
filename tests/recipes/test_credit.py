"""The recipe on reward and credit: its arms run, go on where they were, and its settings are valid."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from halluc_plugin.errors import SettingsError
from halluc_plugin.recipes.credit import run
from halluc_plugin.recipes.credit.arms import (
    ARMS,
    BASELINE,
    DEFAULT,
    FILES,
    LOW_RANK,
    LOW_RANK_BASELINE,
    PRESETS,
)
from halluc_plugin.recipes.credit.experiment import _moved
from halluc_plugin.recipes.credit.scale import FULL, QUICK
from halluc_plugin.recipes.credit.tables import TABLES
from halluc_plugin.recipes.self_backtracking import answering, bench
from halluc_plugin.recipes.self_backtracking.scale import Models
from halluc_plugin.scratch.model import Size
from halluc_plugin.settings import Settings

FEW = Models(Size.TINY, steps=2, largest_operand=10, train=60)
SMOKE = replace(
    QUICK,
    models=replace(QUICK.models, main=FEW, small=FEW, test=6),
    run=replace(QUICK.run, steps=1, prompts=2, group=2, max_actions=8),
    sampled=2,
    copies=2,
    most_k=1,
)


@pytest.fixture(autouse=True)
def _short_answers(monkeypatch):
    """Models that have learned nothing never end."""
    for module in (answering, bench):
        monkeypatch.setattr(module, "MAX_TOKENS", 8)


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Runs the recipe with these arms; returns what was made anew."""
    monkeypatch.setattr(run, "QUICK", SMOKE)
    app = run.typer.Typer()
    app.command()(run.main)

    def invoked(*arms, task="countdown"):
        before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
        chosen = [part for arm in arms for part in ("--arm", arm)]
        arguments = ["--out", str(tmp_path), "--seeds", "1", "--quick", "--task", task, *chosen]
        assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
        return {f for f in tmp_path.rglob("*") if f.is_file() and before.get(f) != f.stat().st_mtime_ns}

    return invoked


def test_arms_run_and_are_not_run_again(invoke, tmp_path):
    """Baseline and an arm leave tables and curves; a second start makes those alone anew, from the cells.

    An arm that was measured before the baseline was there is compared with it all the same.
    """
    arms = (BASELINE, "credit, prefix tree")
    invoke(arms[1])
    assert "[" not in (tmp_path / "tables" / "sampled.md").read_text()
    invoke(*arms)
    assert "[" in (tmp_path / "tables" / "sampled.md").read_text()
    baseline = json.loads((tmp_path / "cells" / "baseline-0.json").read_text())
    assert baseline["seen"]["T=1"] == baseline["seen"]["T=1, banned"]
    assert [point["step"] for point in baseline["curve"]] == [1]
    tables = {tmp_path / "tables" / f"{name}.md" for name in (*TABLES, "forgetting")}
    forgotten = json.loads((tmp_path / "forgetting" / "baseline-0.json").read_text())
    assert len(forgotten["before"]["correct"]) == len(forgotten["after"]["correct"]) == SMOKE.sampled
    assert forgotten["divergence"]["value"] >= 0
    results = {*tables, tmp_path / "plots" / "curves.png"}
    assert all(file.stat().st_size > 100 for file in results)
    assert invoke(*arms) == results


def test_what_each_part_changes_is_read_from_the_log(tmp_path):
    """Shares of groups that a part changes are means over steps; a supervised model has none."""
    lines = [
        {"step": 1, "backtrack/degenerate/groups": 0.25, "backtrack/degenerate/credit": 1.0},
        {"step": 2, "backtrack/degenerate/groups": 0.75, "backtrack/degenerate/credit": 0.5},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert _moved(tmp_path) == {"groups": 0.5, "credit": 0.25}
    assert _moved(tmp_path / "none") == {}


def test_chains_and_hard_context_run_beside_countdown(invoke, tmp_path):
    """On the other task an arm in hard context is trained, measured and compared, under names of its own."""
    made = invoke(BASELINE, "hard, credit", task="chain")
    assert tmp_path / "tables" / "chain-accuracies.md" in made
    assert "[" in (tmp_path / "tables" / "chain-sampled.md").read_text()
    cell = json.loads((tmp_path / "cells" / "chain-hard-credit-0.json").read_text())
    assert set(cell["seen"]) == {f"T={t}{banned}" for t in "01" for banned in ("", ", banned")}
    assert not list((tmp_path / "cells").glob("baseline*"))


@pytest.mark.parametrize(("task", "tuned"), [("countdown", "3-clean"), ("chain", "credit-chain-clean")])
def test_low_rank_arms_start_from_the_clean_model_and_meet_a_baseline_of_as_many_steps(
    invoke, tmp_path, task, tuned
):
    """Both starts are tuned from one model, and the arm is compared with the low-rank baseline.

    The baseline is measured without the token.
    """
    made = invoke(LOW_RANK_BASELINE, LOW_RANK, task=task)
    prefix = "" if task == "countdown" else f"{task}-"
    models = {file.parent.name for file in made if file.name == "model.safetensors"}
    assert tuned in models
    assert len(models) == 5
    cells = {name: tmp_path / "cells" / f"{prefix}low-rank-{name}-0.json" for name in ("baseline", "mask")}
    baseline = json.loads(cells["baseline"].read_text())
    assert baseline["seen"]["T=1"] == baseline["seen"]["T=1, banned"]
    assert set(json.loads(cells["mask"].read_text())["seen"]) > {"T=1"}
    *_, arm = (tmp_path / "tables" / f"{prefix}sampled.md").read_text().strip().splitlines()
    assert arm.startswith("| low-rank, mask")
    assert "[" in arm


def test_a_preset_runs_on_words_with_blanks(invoke, tmp_path):
    """The stage of the presets, on a search task: what a credit leaves as it was is in its table."""
    made = invoke("tempo", task="word")
    assert tmp_path / "tables" / "word-accuracies.md" in made
    cell = json.loads((tmp_path / "cells" / "word-tempo-0.json").read_text())
    assert cell["arm"] == "tempo"
    assert invoke("tempo", task="word") < made


@pytest.mark.parametrize("task", [pytest.param("word", marks=pytest.mark.slow), "countdown"])
def test_curricula_run_and_the_start_says_what_is_difficult(invoke, tmp_path, monkeypatch, task):
    """The easiest problems first, and from states near the goal; each has a difficulty, and a trace."""
    monkeypatch.setattr(run, "QUICK", replace(SMOKE, run=replace(SMOKE.run, steps=3)))
    invoke("easiest first", "reverse", "length cost", task=task)
    (difficulty,) = tmp_path.glob("seed-0/small/difficulty/*.json")
    shares = json.loads(difficulty.read_text())["wrong"]
    assert len(shares) == FEW.train
    assert {4 * share for share in shares} <= {0.0, 1.0, 2.0, 3.0, 4.0}
    prefix = "" if task == "countdown" else f"{task}-"
    for name in ("easiest-first", "reverse", "length-cost"):
        cell = json.loads((tmp_path / "cells" / f"{prefix}{name}-0.json").read_text())
        assert [point["step"] for point in cell["curve"]] == [1, 2, 3]


def test_arms_without_a_plan_are_described_as_ever():
    """A folder of before can be gone on with."""
    assert "plan" not in ARMS[DEFAULT].described
    assert ARMS["reverse"].described["plan"] == "reverse"


def test_groups_of_arms_are_not_mixed_with_single_ones(tmp_path):
    """One or the other."""
    with pytest.raises(SettingsError, match="--curricula has arms of its own"):
        run.main(tmp_path, arm=["reverse"], curricula=True)


def test_every_preset_is_an_arm():
    """By the name of its file; not the reference without credit, nor the one that needs a reward model."""
    assert {path.stem for path in FILES.glob("*.yaml")} == {*PRESETS, "none", "q_rm"}
    assert ARMS["tempo"].reference == "hard, keep"


def test_an_unknown_arm_is_named(invoke):
    """Before anything is made, with those that there are."""
    with pytest.raises(SettingsError, match=r"There is no arm 'credit'.*credit, verifier"):
        invoke("credit")


def test_each_arm_changes_one_factor():
    """Every arm differs from its reference in one setting, and starts from the same weights.

    Where that setting is the context, so does the supervised model that it starts from.
    """
    assert ARMS[DEFAULT].settings == Settings()
    for name, arm in ARMS.items():
        if arm.reference:
            reference = ARMS[arm.reference]
            assert arm.start.context is arm.settings.context
            assert arm.start is reference.start or arm.settings.context is not reference.settings.context
            ours, theirs = vars(arm.settings), vars(reference.settings)
            planned = arm.plan is not reference.plan
            assert planned + sum(ours[field] != theirs[field] for field in ours) == 1, name
    alone = {BASELINE, DEFAULT, LOW_RANK, LOW_RANK_BASELINE}
    assert {name for name, arm in ARMS.items() if not arm.reference} == alone
    for name in (BASELINE, LOW_RANK_BASELINE):
        assert ARMS[name].settings == replace(Settings(), max_backtracks=0)
        assert ARMS[name].start.clean
        assert ARMS[name].start.baseline == name


def test_the_stages_of_the_curriculum_fit_the_run():
    """Its last stage is reached, and lasts a third of the steps."""
    stages = ARMS["curriculum"].settings.curriculum
    assert sum(stage.steps for stage in stages[:-1]) == FULL.run.steps * 2 / 3
