"""Seeds of single samples, where verl is asked for full determinism."""

from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np


def seeded(
    sampling_params: Mapping[str, Any],
    rollout: Any,
    row: Mapping[str, Any],
    prompt_ids: Sequence[int],
    *,
    part: int = 0,
) -> dict[str, Any]:
    """Parameters of one sample, under ``rollout.full_determinism`` with a seed of its own.

    verl's default there is one seed for all requests, with which the answers of a group are copies of one
    another. The seed here is a function of ``rollout.seed``, the step, the row, the answer's number in its
    group and the part, so a resumed run samples what an uninterrupted one would. Without full determinism
    requests carry no seed: the engine's own stream makes them differ, and batches are sampled at once.

    Args:
        sampling_params: verl's.
        rollout: verl's rollout config.
        row: The data row, as an agent loop gets it.
        prompt_ids: Of the row's prompt, which tell rows without an ``index`` apart.
        part: Which of the row's samples: an attempt, or a continuation.

    Returns:
        A copy, with ``seed`` (unsigned, 32 bits) if asked for.
    """
    if not rollout.full_determinism:
        return dict(sampling_params)
    prompt = crc32(np.asarray(prompt_ids, dtype=np.int64).tobytes())
    entropy = (rollout.seed, row["global_steps"], row.get("index") or 0, row["session_id"], part, prompt)
    sequence = np.random.SeedSequence([int(number) for number in entropy])
    return {**sampling_params, "seed": int(sequence.generate_state(1)[0])}
