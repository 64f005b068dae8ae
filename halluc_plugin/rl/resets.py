"""Choose the step of a failed answer that a trainer resets to: no token takes anything back.

This is the reset of A. Samanta et al., "Credit Assignment with Resets in Language Model Reasoning" (arXiv
2605.25507): from a state of a failed answer several suffixes are sampled, and only their tokens learn. RRPO
draws the state uniformly over the reasoning steps; in SRPO the model says which step is wrong. The paper's
abstract was read; that the state is the one before the chosen step is from memory.

Deviations: the failed answer stays in the group that advantages are relative to, so that suffixes which are
all right are each paid a little. A model that writes numbers cannot be asked in words: ``least-likely`` takes
the step that the model itself found least likely when it wrote it. ``first-error`` takes the first step that
a verifier of prefixes refutes, which neither method knows: the best that finding the step could do.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

import numpy as np

from halluc_plugin.errors import SettingsError
from halluc_plugin.rewards import Marks
from halluc_plugin.settings import ResetAt

StepOracle = Callable[[Sequence[int]], bool]
"""``ok(ids)``: can a right answer still be reached from this prefix of an answer?"""


def step_starts(ids: Sequence[int], marks: Marks) -> list[int]:
    """Return the index of the first token of each step of an answer without edits, ascending from 0.

    Args:
        ids: Token ids of the answer, with its end.
        marks: The ids that end steps and answers.
    """
    text = len(ids) - (bool(ids) and ids[-1] in marks.ends)
    return [0, *(at for at in range(1, text) if ids[at - 1] in marks.delimiters)]


def reset_point(
    ids: Sequence[int],
    log_probs: Sequence[float] | None,
    marks: Marks,
    at: ResetAt,
    *,
    ok: StepOracle | None = None,
) -> int:
    """Return how many tokens of a failed answer are kept; the next suffixes begin behind them.

    A random step is a function of the ids, so that all who reset one answer agree on it.

    Args:
        ids: Token ids of the answer.
        log_probs: Log-prob of each id in nats, for ``least-likely``.
        marks: The ids that end steps and answers.
        at: The step to choose.
        ok: The verifier of prefixes, for ``first-error``; an answer of which it refutes no step is reset to
            its last one.

    Raises:
        SettingsError: What the choice reads is missing.
    """
    starts = step_starts(ids, marks)
    ends = [*starts[1:], len(ids)]
    if at is ResetAt.RANDOM:
        seed = sha256(" ".join(map(str, ids)).encode()).digest()[:8]
        return starts[int(np.random.default_rng(int.from_bytes(seed, "big")).integers(len(starts)))]
    if at is ResetAt.LEAST_LIKELY:
        if log_probs is None or len(log_probs) != len(ids):
            raise SettingsError(
                "The least likely step is to be found, and the log-probs of an answer are not known.",
                "Let the engine return them (actor_rollout_ref.rollout.calculate_log_probs=true), or set "
                "halluc.resets.at=random.",
            )
        means = [sum(log_probs[a:b]) / (b - a) for a, b in zip(starts, ends, strict=True)]
        return starts[int(np.argmin(means))]
    if ok is None:
        raise SettingsError(
            "The first wrong step is to be found, and nothing judges prefixes of answers.",
            "Use data whose verifier judges prefixes, or set halluc.resets.at=random.",
        )
    return next((a for a, b in zip(starts, ends, strict=True) if not ok(ids[:b])), starts[-1])
