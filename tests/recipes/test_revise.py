"""ReVISE: samples and their attempts by hand, and the experiment, which is not run again."""

import json

import pytest
from typer.testing import CliRunner

from halluc_plugin.recipes.revise import run, tables
from halluc_plugin.recipes.revise.measuring import Chain, chains_of, decisions
from halluc_plugin.recipes.revise.models import Arm
from halluc_plugin.recipes.revise.scale import FULL, QUICK
from halluc_plugin.sampling.driver import Cost, Found
from halluc_plugin.sampling.states import End, Request, Sample

PROMPT, EOS, RESTART, EDIT = (9,), 0, 3, 4


def sampled(prefix, *ids):
    """A request and its sample."""
    end = {EOS: End.EOS, RESTART: End.EDIT, EDIT: End.EDIT}.get(ids[-1], End.LENGTH)
    told = tuple(0.1 * number for number in range(len(ids)))
    return Request(prefix, 9, 1.0, frozenset()), Sample(ids, (-1.0,) * len(ids), end, told, told)


def test_attempts_are_put_together():
    """Equal first attempts are continued in order; one that was not continued has no answer."""
    found = Found([], Cost(), [
        sampled(PROMPT, 5, RESTART), sampled(PROMPT, 6, EOS), sampled(PROMPT, 5, RESTART),
        sampled(PROMPT, 7, RESTART), sampled((9, 5, RESTART), 1, EOS), sampled((9, 5, RESTART), 2, 8),
    ])  # fmt: skip
    chains = chains_of(found, PROMPT, RESTART)
    assert [[a.ids for a in chain.attempts] for chain in chains] == [
        [(5, RESTART), (1, EOS)], [(6, EOS)], [(5, RESTART), (2, 8)], [(7, RESTART)],
    ]  # fmt: skip
    assert [chain.answer and chain.answer.ids for chain in chains] == [(1, EOS), (6, EOS), None, None]
    assert [(chain.tokens, chain.refined) for chain in chains] == [(4, 1), (2, 0), (4, 1), (2, 1)]
    assert chains[0].answer.confidence == 0.9


def test_a_chain_of_one_attempt_is_that_attempt():
    """It was not refined."""
    chain = Chain((sampled(PROMPT, 6, EOS)[1],), RESTART)
    assert (chain.refined, chain.finished, chain.answer.ids) == (False, True, (6, EOS))


def test_another_edit_restarts_nothing():
    """A sample that it ends is no finished answer, and no decision is counted of it."""
    chain = Chain((sampled(PROMPT, 6, EDIT)[1],), RESTART)
    assert (chain.refined, chain.finished, chain.answer) == (False, False, None)


def test_decisions_are_counted_apart():
    """One of two right attempts was restarted, and all of the wrong ones."""
    told = [(True, True), (True, False), (False, True)]
    assert decisions(told) == {"right": [1, 2], "wrong": [1, 1]}


def test_numbers_of_samples_are_powers_of_two():
    """Up to the most that are drawn."""
    assert FULL.counts == [1, 2, 4, 8, 16, 32]
    assert QUICK.counts == [1, 2, 4]


@pytest.mark.slow
def test_the_experiment_runs_and_is_not_run_again(tmp_path):
    """It leaves tables and a plot; a second start makes those alone anew, from the cells."""
    app = run.typer.Typer()
    app.command()(run.main)

    def invoke():
        before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
        args = ["--out", str(tmp_path), "--seeds", "1", "--task", "chain", "--quick"]
        assert CliRunner().invoke(app, args, catch_exceptions=False).exit_code == 0
        return {f for f in tmp_path.rglob("*") if f.is_file() and before.get(f) != f.stat().st_mtime_ns}

    invoke()
    cells = json.loads((tmp_path / "tables" / "cells.json").read_text())
    assert [cell["arm"] for cell in cells] == [str(arm) for arm in Arm]
    for cell in cells:
        assert set(cell["refined"]["majority"]) == set(map(str, QUICK.counts))
        assert len(cell["first"]["correct"]) == QUICK.asked
    spent = {cell["arm"]: cell["spent"] for cell in cells}
    assert spent[Arm.REVISE]["sampled"] > spent[Arm.VERIFY]["sampled"] > spent[Arm.POLICY]["sampled"] == 0
    assert spent[Arm.REVISE]["trained"] > spent[Arm.VERIFY]["trained"] > spent[Arm.POLICY]["trained"] > 0
    made = {*(tmp_path / "tables").iterdir(), *(tmp_path / "plots").iterdir()}
    assert len(made) == len(tables.TABLES) + 3
    assert invoke() <= made
