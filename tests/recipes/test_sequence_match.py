"""The SequenceMatch recipe: its parts run and go on where they were; chain and texture are those by hand."""

from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from halluc_plugin.errors import SettingsError
from halluc_plugin.recipes.lab.keeping import keep_scale
from halluc_plugin.recipes.sequence_match import regret, run
from halluc_plugin.recipes.sequence_match.regret import BACK, RIGHT, WRONG, Chain
from halluc_plugin.recipes.sequence_match.scale import QUICK
from halluc_plugin.recipes.sequence_match.text import texture

MATCHING = replace(
    QUICK.matching, imitate_steps=1, anneal_steps=1, refresh_steps=1, fresh=4, capacity=8, max_actions=8
)
SMOKE = replace(
    QUICK, bases=(10,), train=20, test=6, steps=3, batch_size=4, matching=MATCHING, texts=12, test_texts=4,
    text_steps=3, lengths=(2, 3),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("part", ["arithmetic", "text", "regret"])
def test_a_part_runs_and_is_not_run_again(tmp_path, monkeypatch, part):
    """It leaves a table and a plot; a second start makes those alone anew, from the cells."""
    monkeypatch.setattr(run, "QUICK", SMOKE)
    monkeypatch.setattr(regret, "STEPS", 3)
    monkeypatch.setattr(regret, "EPISODES", 20)
    app = run.typer.Typer()
    app.command()(run.main)

    def invoke():
        before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
        args = [part, "--out", str(tmp_path), "--seeds", "1", "--quick"]
        assert CliRunner().invoke(app, args, catch_exceptions=False).exit_code == 0
        return {f for f in tmp_path.rglob("*") if f.is_file() and before.get(f) != f.stat().st_mtime_ns}

    invoke()
    results = {tmp_path / "tables" / f"{part}.md", tmp_path / "plots" / f"{part}.png"}
    assert all(file.stat().st_size > 100 for file in results)
    assert invoke() == results


def test_another_scale_is_refused(tmp_path):
    """What is kept in a folder is never taken for what another scale would have made."""
    keep_scale(tmp_path, QUICK)
    keep_scale(tmp_path, QUICK)
    with pytest.raises(SettingsError, match="another scale"):
        keep_scale(tmp_path, SMOKE)


def test_arms_may_join_but_not_change(tmp_path):
    """A folder takes in arms that it has never seen, and keeps those that a start does not name."""
    keep_scale(tmp_path, QUICK, {"a": {"x": 1}})
    keep_scale(tmp_path, QUICK, {"b": {"x": (2, 3)}})
    keep_scale(tmp_path, QUICK, {"a": {"x": 1}, "b": {"x": (2, 3)}})
    with pytest.raises(SettingsError, match="holds an arm 'a' with other settings"):
        keep_scale(tmp_path, QUICK, {"a": {"x": 2}})


def test_the_chain_by_hand():
    """Right and wrong letters, letters behind a wrong one, backspaces, and the start."""
    chain = Chain(4)

    def after(right, wrong, action):
        state = chain.step(torch.tensor([right * 9 + wrong]), torch.tensor([action])).item()
        return divmod(state, 9)

    assert after(1, 0, RIGHT) == (2, 0)
    assert after(1, 0, WRONG) == (1, 1)
    assert after(1, 2, RIGHT) == (1, 3)
    assert after(1, 2, BACK) == (1, 1)
    assert after(1, 0, BACK) == (0, 0)
    assert after(0, 0, BACK) == (0, 0)
    assert after(1, 8, WRONG) == (1, 8)
    assert chain.end == 36


def test_matching_learns_to_go_back(monkeypatch):
    """Without an error in the data, SequenceMatch takes its slips back; likelihood does not."""
    monkeypatch.setattr(regret, "STEPS", 400)
    likelihood, matched = (regret.regret(16, matched=matched, seed=0) for matched in (False, True))
    assert matched < 0.7 * likelihood


def test_texture_by_hand():
    """Seven 4-grams, of which five are distinct and one is repeated within its text."""
    found = texture([[1, 2, 3, 4, 1, 2, 3, 4], [1, 2, 3, 4, 9]])
    # 1234 2341 3412 4123 1234, and 1234 2349
    assert found["distinct"] == pytest.approx(5 / 7)
    assert found["repeated"] == pytest.approx(1 / 7)
    assert found["entropy"] == pytest.approx(1.4750763, abs=1e-6)  # -(3/7 ln 3/7 + 4/7 ln 1/7)
