"""GRPO in hard context on the real hosts: rows packed, and padded as they were before."""

import os
import sys

import pytest

STEPS = 4
PADDED = """
from halluc_plugin.hard import inputs

inputs.take_packed_rows = lambda model: False
"""
"""Imported by verl's workers, this lays every row out padded, under a dense mask."""
FIGURES = (
    "critic/rewards/mean", "backtrack/raw_length", "backtrack/num_erased", "actor/pg_loss",
    "actor/grad_norm",
)  # fmt: skip


@pytest.fixture(scope="module")
def both(new_run):
    """The metrics of each step of the two runs, from the same seeds."""
    found = {}
    for name in ("packed", "padded"):
        run = new_run("halluc_grpo_hard")
        with pytest.MonkeyPatch.context() as patch:
            if name == "padded":
                (run.folder / "padded_rows.py").write_text(PADDED, encoding="utf-8")
                patch.setenv("VERL_USE_EXTERNAL_MODULES", "padded_rows")
                patch.setenv("PYTHONPATH", os.pathsep.join([str(run.folder), *sys.path]))
            run.start(
                f"trainer.total_training_steps={STEPS}",
                "halluc.prepare.train_problems=2000",
                "halluc.prepare.warm_start_steps=300",
                "data.train_batch_size=16",
                "trainer.test_freq=-1",
            )
        found[name] = run.metrics()
    return found


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(1500)
class TestSameRun:
    """Four steps each."""

    def test_rewards_are_the_same_step_by_step(self, both):
        """The layout of rows changes rounding alone: what is sampled, paid and learned is the same."""
        for step in range(1, STEPS + 1):
            packed, padded = (both[name][step] for name in ("packed", "padded"))
            for figure in FIGURES:
                assert packed[figure] == pytest.approx(padded[figure], abs=2e-3, rel=2e-3), (step, figure)
        assert any(both["packed"][step]["backtrack/num_erased"] > 0 for step in range(1, STEPS + 1))

    def test_the_padded_run_was_padded(self, both):
        """Log-probs agree, and are not the same bit by bit: two layouts were computed."""
        packed, padded = (both[name][1]["actor/grad_norm"] for name in ("packed", "padded"))
        assert packed != padded
