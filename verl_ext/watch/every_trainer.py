"""The watch over trainers that are not ours."""

import functools
from types import ModuleType
from typing import Any

from verl_ext.watch.rollouts import watch_rollouts


def watch_every_trainer(trainer_base: ModuleType) -> None:
    """Let verl's own trainers stop, too, at answers that fail or do not come, in runs with parts of ours."""
    trainer = trainer_base.PPOTrainer
    build = trainer._build_replay_buffer  # noqa: SLF001 - the only seam that all trainers share

    @functools.wraps(build)
    def _build_replay_buffer(self: Any) -> Any:
        from verl_ext.run_settings import from_config, is_ours

        buffer = build(self)
        if is_ours(self.config):
            watch_rollouts(buffer, from_config(self.config).failures, functools.partial(_loop_workers, self))
        return buffer

    trainer._build_replay_buffer = _build_replay_buffer  # noqa: SLF001


def _loop_workers(trainer: Any) -> Any:
    """Handles of the agent loop workers; verl hands their manager over when training begins."""
    return getattr(getattr(trainer, "agent_loop_manager", None), "agent_loop_workers", None) or ()
