"""Report why answers failed to the code that stops the run.

verl 0.9.1 catches what an answer's agent loop or reward raises, logs it in the worker, marks the prompt as
failed and trains on without it. The mark is a tag in the queue; the cause becomes another tag.
"""

import functools
from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any

from halluc_plugin.errors import HallucError, in_one_line

CAUSE = "halluc_cause"
"""Tag of a failed prompt: what the last failing answer to it raised."""
LONGEST = 2000


def tell_causes(agent_loop: ModuleType) -> None:
    """Make verl's agent loop workers write into the queue why an answer failed.

    This applies to runs that use halluc.
    """
    worker = agent_loop.AgentLoopWorker
    answer = worker._run_agent_loop  # noqa: SLF001 - the only seam around agent loop and reward

    @functools.wraps(answer)
    async def _run_agent_loop(
        self: Any, sampling_params: dict[str, Any], trajectory: dict[str, Any], **kwargs: Any
    ) -> Any:
        try:
            return await answer(self, sampling_params, trajectory, **kwargs)
        except Exception as error:
            from verl_ext.run_settings import is_ours

            if is_ours(self.config) and "uid" in kwargs:
                await _tell(str(kwargs["uid"]), "val" if trajectory["validate"] else "train", error)
            raise

    worker._run_agent_loop = _run_agent_loop  # noqa: SLF001


async def _tell(prompt: str, partition: str, error: Exception) -> None:
    import transfer_queue as tq

    await tq.async_kv_put(key=prompt, partition_id=partition, tag={CAUSE: cause_of(error)})


def cause_of(error: BaseException) -> str:
    """Return in one paragraph what happened: the message of halluc's errors, the kind and message of others.

    Args:
        error: The error as it was caught; for a Ray task, the error inside it counts.
    """
    inner = getattr(error, "cause", None)
    error = inner if isinstance(inner, BaseException) else error
    said = str(error) if isinstance(error, HallucError) else in_one_line(error)
    said = " ".join(said.split())[:LONGEST]
    return said if said.endswith(".") else f"{said}."


def first_cause(queue: Mapping[str, Mapping[str, Any]] | None, failed: Collection[str]) -> str | None:
    """Return the cause of one of the failed prompts, None if none was recorded.

    Args:
        queue: All tags of a partition, by key.
        failed: Keys of the failed prompts.
    """
    causes = (tag[CAUSE] for key, tag in sorted((queue or {}).items()) if key in failed and CAUSE in tag)
    return next(causes, None)
