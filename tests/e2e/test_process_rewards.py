"""A process reward model in verl, by the commands that ``docs/process-rewards.md`` tells."""

import math

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.trace_log import logged_steps, read_step

STEPS = 2
WORDS = ("--states", 3, "--length", 5, "--starts", 3, "--blanks", 2, "--answers", "any")
TRACES = ("--memory", "none", "--notice", "at-once", "--tries", 2)
ALPHA, PROCESS = 0.5, 0.2


def invoke(*args):
    """Run a command that must succeed."""
    done = CliRunner().invoke(app, list(map(str, args)), catch_exceptions=False)
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def trained(new_run):
    """Two steps of GRPO whose states a trained scorer values, and what was printed."""
    run = new_run("halluc_grpo")
    folder, words = run.folder, run.folder / "data" / "word"
    model, values, prm = folder / "model", folder / "values.parquet", folder / "prm"
    invoke("data", "word", *WORDS, *TRACES, "--train", 60, "--test", 8, "--out", folder / "data")
    invoke("warmstart", "--data", words / "traces.parquet", "--steps", 100, "--out", model)
    invoke(
        "data", "values", "--data", words / "train.parquet", "--model", model, "--samples", 4,
        "--continuations", 2, "--max-tokens", 40, "--out", values,
    )  # fmt: skip
    invoke(
        "train", "--model", model, "--data", values, "--objective", "value", "--out", prm, "--steps", 60,
        "--save-steps", 20, "--batch-size", 16, "--learning-rate", 5e-3,
    )  # fmt: skip
    said = run.start(
        f"data.train_files={words / 'train.parquet'}",
        f"data.val_files={words / 'test.parquet'}",
        f"actor_rollout_ref.model.path={model}",
        "++halluc.values.source=prm",
        f"++halluc.values.scorer={prm}",
        f"++halluc.credit.alpha={ALPHA}",
        f"++halluc.reward.weights.process={PROCESS}",
        f"trainer.total_training_steps={STEPS}",
    )
    return run, said


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(1500)
class TestProcessRewards:
    """Two steps on the real hosts."""

    def test_the_scorers_values_are_paid(self, trained):
        """Rewards by the scorer are finite shares, engine and actor are one policy, weights are updated."""
        metrics = trained[0].metrics()
        assert set(metrics) == {0, 1, STEPS}
        for step in (1, STEPS):
            found = metrics[step]
            assert 0 < found["backtrack/reward/process"] < 1
            assert 0 <= found["backtrack/reward/process_min"] <= found["backtrack/reward/process"]
            assert found["training/rollout_probs_diff_max"] < 1e-4
            assert found["actor/grad_norm"] > 0
            assert all(math.isfinite(value) for name, value in found.items() if name.startswith("backtrack/"))

    def test_the_guard_is_logged(self, trained):
        """How much the scorer likes, where it and the judge disagree, and how much of that it overrates."""
        metrics = trained[0].metrics()
        for step in (1, STEPS):
            found = metrics[step]
            assert 0 < found["backtrack/scorer_value"] < 1
            assert 0 <= found["backtrack/scorer_overrates"] <= found["backtrack/scorer_disagrees"] <= 1

    def test_answers_keep_what_was_paid(self, trained):
        """The last step is paid what the judge says: the least value of a wrong answer's steps is 0."""
        logged = logged_steps(trained[0].checkpoints)
        assert set(logged) == {1, STEPS}
        values = set()
        for path in logged.values():
            for trace in read_step(path):
                scores = trace.scores
                assert (scores["process_min"] > 0) == (scores["acc"] > 0)
                assert scores["process_min"] <= scores["process"] <= 1
                assert scores["scorer_overrates"] == float(
                    scores["scorer_value"] >= 0.5 and not scores["acc"]
                )
                values.add(scores["scorer_value"])
        assert len(values) > 1
