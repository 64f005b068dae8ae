"""Watch all trainers, verl's own included, and report their steps to ``halluc quiet``."""

import functools
from types import ModuleType
from typing import Any

from halluc_plugin.progress import tell
from verl_ext.watch.rollouts import watch_rollouts

BEFORE, STEPS = "validation before training", "reinforcement learning"
"""Names of phases as they are shown."""


def watch_every_trainer(trainer_base: ModuleType) -> None:
    """Make verl's own trainers stop, too, when answers fail or do not arrive.

    This applies to runs that use halluc.
    """
    trainer = trainer_base.PPOTrainer
    build = trainer._build_replay_buffer  # noqa: SLF001 - the only seam that all trainers share

    @functools.wraps(build)
    def _build_replay_buffer(self: Any) -> Any:
        from verl_ext.run_settings import from_config, is_ours

        buffer = build(self)
        if is_ours(self.config):
            watch_rollouts(buffer, from_config(self.config).failures, functools.partial(_loop_workers, self))
            _tell_steps(buffer, self)
        return buffer

    trainer._build_replay_buffer = _build_replay_buffer  # noqa: SLF001


def _tell_steps(buffer: Any, trainer: Any) -> None:
    """Tell how many steps are done, whenever the answers of one are waited for."""
    sample, begun = buffer.sample, False

    def told(global_steps: int, partition_id: str, batch_size: int) -> Any:
        nonlocal begun
        begun = begun or partition_id == "train"
        if partition_id == "train":
            tell(STEPS, global_steps - 1, getattr(trainer, "total_training_steps", None))
        elif not begun:
            tell(BEFORE)
        return sample(global_steps, partition_id, batch_size)

    buffer.sample = told


def _loop_workers(trainer: Any) -> Any:
    """Handles of the agent loop workers; verl hands their manager over when training begins."""
    return getattr(getattr(trainer, "agent_loop_manager", None), "agent_loop_workers", None) or ()
