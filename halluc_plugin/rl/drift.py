"""Stop a run in which the rollout engine and the actor are no longer the same policy.

After a weight sync that failed half-way a run looks healthy: with a stale, tied ``lm_head`` it trains on, and
the engine's log-probs are all wrong. Comparing the sampled log-probs with the actor's, for the same tokens,
shows it.

The run stops if the mean |Δ log p| is hopeless by itself, or if it is above the noise of the dtype and the
two are not even correlated. The maximum is not used (one unlikely token in bf16 is far off without any
fault), nor the correlation alone (a policy sure of every token has log-probs that are all noise).
"""

import math
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from halluc_plugin.errors import HallucError
from halluc_plugin.settings import GuardSettings


class PolicyDriftError(HallucError, RuntimeError):
    """Engine and actor disagree on the log-probs of the sampled tokens."""


class Precision(Enum):
    """The coarser of the two dtypes, which sets how far rounding alone can drive log-probs apart."""

    SINGLE = "fp32"
    HALF = "bf16 or fp16"


@dataclass(frozen=True)
class Limits:
    """The thresholds of the guard, in nats for drifts.

    Attributes:
        hopeless_drift: Mean |Δ log p| that stops the run by itself.
        noise_drift: Mean |Δ log p| that rounding explains; below it nothing is wrong.
        min_correlation: Pearson correlation that must hold in between.
    """

    hopeless_drift: float
    noise_drift: float
    min_correlation: float


# One weight version on both sides differs by about 1e-7 in fp32 on CPU. bf16 keeps 8 bits, so a logit near 10
# is off by up to 0.04 on each side. A stale tied lm_head was uncorrelated from its first update on.
LIMITS = {
    Precision.SINGLE: Limits(hopeless_drift=2e-2, noise_drift=1e-3, min_correlation=0.999),
    Precision.HALF: Limits(hopeless_drift=0.2, noise_drift=3e-2, min_correlation=0.97),
}


AT_ONCE = 2**20
"""Number of tokens that are compared at once."""


@dataclass(frozen=True)
class Agreement:
    """How close two sets of log-probs of the same tokens are.

    Attributes:
        drift: Mean |Δ log p| in nats.
        correlation: Pearson correlation; 1 when the log-probs do not vary at all.
        tokens: Number of tokens compared.
        largest: Largest |Δ log p| in nats; reported, not judged.
    """

    drift: float
    correlation: float
    tokens: int
    largest: float


def compare(engine: Tensor, actor: Tensor, response_mask: Tensor) -> Agreement | None:
    """Compare the log-probs of unmasked tokens.

    Args:
        engine: Log-probs returned by the rollout engine, processed as it sampled, Float[...].
        actor: The actor's log-probs of the same tokens at the same temperature, Float[...].
        response_mask: Nonzero for the tokens to compare, Bool[...] or a number.

    Returns:
        The agreement, None if there are fewer than two tokens to compare.
    """
    mask = response_mask.bool()
    x, y = engine[mask], actor[mask]
    count = x.numel()
    if count < 2:
        return None
    # In double precision, a part at a time: a step may have tens of millions of tokens.
    means = [float(sum(part.double().sum() for part in values.split(AT_ONCE))) / count for values in (x, y)]
    gaps = largest = x_squares = y_squares = products = 0.0
    for one, other in zip(x.split(AT_ONCE), y.split(AT_ONCE), strict=True):
        first, second = one.double(), other.double()
        apart = (first - second).abs()
        gaps += float(apart.sum())
        largest = float(torch.maximum(apart.max(), torch.tensor(largest, dtype=torch.float64)))  # NaN stays
        first, second = first - means[0], second - means[1]
        x_squares += float(first.square().sum())
        y_squares += float(second.square().sum())
        products += float((first * second).sum())
    both_constant = not x_squares > 0 and not y_squares > 0
    spread = math.sqrt(x_squares) * math.sqrt(y_squares)
    correlation = 1.0 if both_constant else products / spread if spread else math.nan
    return Agreement(gaps / count, correlation, count, largest)


def stop_if_drifted(agreement: Agreement | None, precision: Precision, settings: GuardSettings) -> None:
    """Stop the run if engine and actor are different policies.

    Args:
        agreement: The agreement of one step; None and too few tokens are not judged.
        precision: The coarser dtype of the run.
        settings: The user's thresholds, which replace those of the dtype.

    Raises:
        PolicyDriftError: Engine and actor are different policies, or a log-prob is not a number.
    """
    if agreement is None or agreement.tokens < settings.min_tokens:
        return
    limits = LIMITS[precision]
    hopeless = settings.max_drift if settings.max_drift is not None else limits.hopeless_drift
    noise = min(hopeless, limits.noise_drift)
    floor = settings.min_correlation if settings.min_correlation is not None else limits.min_correlation
    # Written so that NaN stops the run too.
    fine = agreement.drift <= noise or (agreement.drift <= hopeless and agreement.correlation >= floor)
    if not fine:
        raise PolicyDriftError(
            f"Rollout engine and actor disagree on {agreement.tokens} sampled tokens: mean |Δ log p| is "
            f"{agreement.drift:.3g} nats (at most {hopeless:.3g}; above {noise:.3g} only with correlation), "
            f"correlation {agreement.correlation:.4f} (at least {floor}). "
            f"In {precision.value} rounding does not explain it.",
            "The engine's weights are probably stale after a sync (look at a tied lm_head and at the worker "
            "extension), or it samples from another distribution than the actor trains (logits processors, "
            "logprobs_mode). Only if you know better, set ++halluc.guard.max_drift or "
            "++halluc.guard.min_correlation, or ++halluc.guard.enabled=false.",
        )
