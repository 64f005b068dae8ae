"""The clean model with a signal that erases: calibrated on answers to the problems that are trained on."""

import json
from pathlib import Path

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.decoding.triggers import Trigger
from halluc_plugin.jobs.search_erasing import Erasing
from halluc_plugin.jobs.signals.asked import Signal, SignalJob
from halluc_plugin.jobs.signals.job import as_json, probe_signals
from halluc_plugin.problem_sets.steps import StepSplit
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.prm_backtracking.tasks import DELIMITER
from halluc_plugin.recipes.rivals.models import Arm, Models

SIGNALS = {Arm.ENTROPY: Signal.ENTROPY, Arm.HEAD: Signal.TWO_LAYER_HEAD}
"""The arms in which a signal erases steps in place of the model."""


def calibration(models: Models) -> Path:
    """Return the file of both signals' thresholds and of the head, which is written on first use.

    Args:
        models: The models of a seed.

    Raises:
        MetricError: The clean model's steps on these problems are all live, or all dead.
    """
    path = models.folder / "signals.json"
    if not path.exists():
        job = SignalJob(
            str(models.model(Arm.CLEAN)), models.problems.file(StepSplit.TRAIN, models.scale.problems),
            tuple(SIGNALS.values()), samples=models.scale.samples, max_tokens=models.longest,
            step_delimiter=DELIMITER, limit=models.scale.problems, seed=models.seed,
        )  # fmt: skip
        write_whole(path, json.dumps(as_json(probe_signals(job, show_progress))))
    return path


def trigger(models: Models, arm: Arm) -> Trigger:
    """Return how an arm's signal erases steps, as often as it passes its threshold.

    Args:
        models: The models of a seed.
        arm: An arm of :data:`SIGNALS`.
    """
    most = max(models.scale.budgets) * models.longest
    asked = Erasing(calibration(models), SIGNALS[arm], rollbacks=most)
    return asked.trigger(str(models.model(Arm.CLEAN)), models.vocab)


def spent(models: Models) -> dict[str, float]:
    """Return the tokens of the clean model's training, and those that were sampled to calibrate."""
    (told,) = json.loads(calibration(models).read_text(encoding="utf-8"))
    clean = models.spent(Arm.CLEAN)
    return {**clean, "sampled": clean["sampled"] + told["sampled"]}
