"""From a policy's own answers to a scorer of their steps, by the commands."""

import json

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli import data_values
from halluc_plugin.cli.app import app
from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.scorers.saved import load_step_scorer
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.tokens.saving import save_model

STEPS, RIGHT = 5, 0.8


def invoke(*args):
    """Run a command that must succeed."""
    done = CliRunner().invoke(app, list(map(str, args)), catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_a_scorer_learns_what_a_policy_makes_of_its_steps(chains, tmp_path, monkeypatch):
    """Each line of the policy is right four times in five: a prefix of m right ones is worth 0.8^(5 - m).

    The scorer comes close to that on problems that it never saw, and to 0 from the first wrong line on.
    """
    problems = [chains.problem(STEPS, number) for number in range(32)]
    policy = chains.policy(problems, RIGHT)
    monkeypatch.setattr(data_values, "open_engine", lambda *_: policy)
    save_model(new_model(chains.tokenizer, Size.TINY, seed=0), chains.tokenizer, tmp_path / "policy")
    rows = [
        {
            "data_source": "halluc/chain",
            "prompt": [{"role": "user", "content": chains.tokenizer.decode(problem.prompt)}],
            "reward_model": {"style": "rule", "ground_truth": problem.truth},
        }
        for problem in problems
    ]
    write_parquet(tmp_path / "problems.parquet", rows, {})
    given = ("--model", tmp_path / "policy", "--data")
    values, prm = tmp_path / "values.parquet", tmp_path / "prm"
    invoke("data", "values", *given, tmp_path / "problems.parquet", "--samples", 4, "--out", values)
    invoke(
        "train", *given, values, "--objective", "value", "--out", prm, "--steps", 80, "--batch-size", 24,
        "--learning-rate", 2e-3, "--save-steps", 20, "--held-out", 0.2,
    )  # fmt: skip
    quality = json.loads((prm / "quality.json").read_text())
    assert quality["first_error_auroc"] > 0.9
    assert quality["mse"] < 0.06
    assert quality["ece"] < 0.2
    scorer = load_step_scorer(str(prm), chains.tokenizer, step_delimiter="\n", data_sources={"halluc/chain"})
    unseen = chains.problem(STEPS, 1000)
    right, wrong = chains.answer(unseen), chains.answer(unseen, {3})
    good, bad = scorer.score([unseen.prompt] * 2, [right, wrong]).tolist()
    assert good == pytest.approx([RIGHT ** (STEPS - m) for m in range(STEPS + 1)], abs=0.25)
    assert bad[:3] == pytest.approx(good[:3])
    assert max(bad[3:]) < 0.2
