"""Stop a run whose rollouts fail, stand still or have lost a worker, where verl would continue or wait.

verl 0.9.1 logs an answer that raised in its rollout or its reward and trains on without it; a prompt whose
worker is dead stays "running", and the trainer polls for it without end.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
import transfer_queue as tq

from halluc_plugin.errors import HallucError, SettingsError
from halluc_plugin.settings import FailureSettings
from verl_ext.watch.failed_answers import first_cause

if TYPE_CHECKING:  # the import would bring in verl's trainers, and with them ours, which import this module
    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

FAILED_PROMPTS = "backtrack/failed_prompts"
GO_ON = "the same command then goes on from the last checkpoint"


class RolloutError(HallucError, RuntimeError):
    """Answers of a step failed, do not arrive, or lost the worker that should bring them."""


def watch_rollouts(
    buffer: "ReplayBuffer", settings: FailureSettings, workers: Callable[[], Sequence[Any]]
) -> None:
    """Make ``buffer.sample`` raise an error where verl's would continue with less, or wait forever.

    verl's samplers look at the queue every two seconds; the checks use what they saw.

    Args:
        buffer: The replay buffer of verl, or a user's subclass of it; it is changed in place.
        settings: The tolerated share of failures, and the time without answers after which to stop.
        workers: Function that returns the handles of the actors that write answers; it is called every time.

    Raises:
        SettingsError: A user's own sampler looks at the queue in another way (raised from ``sample``).
    """
    sample, look = buffer.sample, buffer._sync_metadata_from_transfer_queue  # noqa: SLF001 - the only seam

    def watched(global_steps: int, partition_id: str, batch_size: int) -> tuple[Any, dict[str, Any]]:
        what = f"step {global_steps}" if partition_id == "train" else f"the validation of step {global_steps}"
        watch = _Watch(_Round(what, partition_id, batch_size), buffer, settings, workers())

        def look_and_check() -> None:
            look()
            watch.check()

        buffer._sync_metadata_from_transfer_queue = look_and_check  # noqa: SLF001
        try:
            batch, metrics = sample(global_steps, partition_id, batch_size)
        finally:
            buffer._sync_metadata_from_transfer_queue = look  # noqa: SLF001
        if not watch.looked:
            raise SettingsError(
                f"{type(buffer).__name__} is a sampler that cannot be watched for answers that fail.",
                "Let it call _sync_metadata_from_transfer_queue, or set trainer.v1.trainer_mode=sync.",
            )
        return batch, {**metrics, FAILED_PROMPTS: len(watch.failed)}

    buffer.sample = watched


@dataclass(frozen=True)
class _Round:
    """What is waited for.

    Attributes:
        name: Name as users know it.
        partition: Partition of the queue.
        prompts: Number of prompts to be answered.
    """

    name: str
    partition: str
    prompts: int


class _Watch:
    """One step's wait for its answers."""

    def __init__(
        self, of: _Round, buffer: "ReplayBuffer", settings: FailureSettings, workers: Sequence[Any]
    ) -> None:
        self.failed: set[str] = set()
        self.looked = False
        self._of, self._buffer, self._settings = of, buffer, settings
        self._alive = [(worker, worker.__ray_ready__.remote()) for worker in workers]
        self._came = (-1, -1, -1)
        self._since = time.monotonic()

    def check(self) -> None:
        """Raise if the step cannot be completed as it should be."""
        self.looked = True
        self._check_failures()
        self._check_workers()
        self._check_progress()

    def _check_failures(self) -> None:
        # All of this wait: a sampler may replace those that failed.
        self.failed |= self._buffer.failure_keys[self._of.partition]
        if len(self.failed) > self._settings.tolerated * self._of.prompts:
            cause = first_cause((tq.kv_list() or {}).get(self._of.partition), self.failed)
            raise RolloutError(
                f"{len(self.failed)} of {self._of.prompts} prompts of {self._of.name} failed in rollout or "
                f"reward{f', one of them with: {cause}' if cause else '.'}",
                f"Remove the cause, of which 'Error in _run_prompt' above has the traceback; {GO_ON}. "
                "++halluc.failures.tolerated=SHARE lets that share of the prompts fail.",
            )

    def _check_workers(self) -> None:
        for number, (worker, ready) in enumerate(self._alive):
            if not ray.wait([ready], timeout=0)[0]:
                continue
            try:
                ray.get(ready)
            except ray.exceptions.ActorUnavailableError:
                pass  # for the moment: asked again
            except ray.exceptions.RayActorError as error:
                raise RolloutError(
                    f"A worker that samples answers died in {self._of.name}: {error}",
                    f"Look for the cause above (memory is the usual one); {GO_ON}.",
                ) from error
            self._alive[number] = (worker, worker.__ray_ready__.remote())

    def _check_progress(self) -> None:
        seen, partition, now = self._buffer, self._of.partition, time.monotonic()
        came = (len(seen.finished_keys[partition]), len(self.failed), len(seen.partitions[partition]))
        if came != self._came:
            self._came, self._since = came, now
        elif now - self._since > self._settings.stalled_after:
            running = len(seen.running_keys[partition])
            raise RolloutError(
                f"No answer has come for {now - self._since:.0f} seconds in {self._of.name}; of "
                f"{self._of.prompts} prompts {came[0]} are done and {running} are being answered.",
                "Look at the rollout server and at the reward function for what hangs; "
                f"{GO_ON}. ++halluc.failures.stalled_after=SECONDS sets this limit.",
            )
