"""Report the progress of verl's SFT trainer to ``halluc quiet``."""

import functools
from typing import Any

from halluc_plugin.progress import is_asked, tell

STEPS = "fine-tuning"
"""Name of the phase as it is shown."""


def tell_steps() -> None:
    """Report how many steps of this process's trainer are done, if a parent process reads it.

    The trainer is ``__main__``, which no hook sees, so the progress is read from its parts: the worker is
    reset once the number of steps is known, and the metrics of a step are logged by one process alone.
    """
    if not is_asked():
        return
    from verl.utils.tracking import Tracking
    from verl.workers.engine_workers import TrainingWorker

    reset, log = TrainingWorker.reset, Tracking.log
    total: int | None = None

    @functools.wraps(reset)  # verl keeps how a method is called as its attribute
    def told_reset(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal total
        total = int(self.optimizer_config.total_training_steps)
        return reset(self, *args, **kwargs)

    @functools.wraps(log)
    def told_log(self: Any, data: Any, step: int, *args: Any, **kwargs: Any) -> None:
        log(self, data, step, *args, **kwargs)
        tell(STEPS, step, total)

    TrainingWorker.reset, Tracking.log = told_reset, told_log
