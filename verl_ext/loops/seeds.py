"""Give each sample a seed of its own if verl is asked for full determinism."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

NAMED_BY = ("global_steps", "index", "session_id")
"""Fields that identify a row's samples: the step, the row in its file, and the answer in its group."""


def seeded(
    sampling_params: Mapping[str, Any],
    rollout: Any,
    row: Mapping[str, Any],
    prompt_ids: Sequence[int],
    *,
    part: int = 0,
) -> dict[str, Any]:
    """Return the parameters of one sample, with a seed under ``rollout.full_determinism``.

    verl's default there is one seed for all requests, with which the answers of a group are copies of one
    another. The seed here depends on ``rollout.seed``, the step, the row, the answer's number in its group
    and the part, so a resumed run gets the samples of an uninterrupted one. Without full determinism requests
    carry no seed: the engine's own random stream makes them differ, and batches are sampled at once. Engines
    other than vLLM name their seeds differently and are left to verl.

    Args:
        sampling_params: The sampling parameters of verl.
        rollout: The rollout config of verl.
        row: The data row, as an agent loop receives it.
        prompt_ids: Token ids of the row's prompt, which tell rows without an ``index`` apart.
        part: Number of the row's sample: of an attempt, or of a continuation.

    Returns:
        A copy, with ``seed`` (unsigned, 32 bits) if asked for.
    """
    if not rollout.full_determinism or rollout.name != "vllm":
        return dict(sampling_params)
    # As texts: an index may be any value, and managers other than verl's own leave some of these out.
    name = [rollout.seed, *(row.get(key) for key in NAMED_BY), part, *prompt_ids]
    digest = sha256(" ".join(map(str, name)).encode()).digest()
    return {**sampling_params, "seed": int.from_bytes(digest[:4], "big")}
