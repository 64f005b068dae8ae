"""The rule that tells rounding from a weight sync that went wrong."""

import pytest
import torch

from halluc_plugin.rl.drift import Agreement, PolicyDriftError, Precision, compare, stop_if_drifted
from halluc_plugin.settings import GuardSettings

MASK = torch.ones(1, 4)


def test_hand_computed_agreement():
    """Drift is the mean absolute difference, over unmasked tokens only."""
    engine = torch.tensor([[-1.0, -2.0, -3.0, -50.0]])
    actor = torch.tensor([[-1.5, -2.0, -2.5, 0.0]])
    agreement = compare(engine, actor, torch.tensor([[1, 1, 1, 0]]))
    assert agreement.tokens == 3
    assert agreement.drift == pytest.approx(1 / 3)
    assert agreement.largest == 0.5
    assert agreement.correlation == pytest.approx(1.0)


def test_nothing_to_compare():
    """Fewer than two unmasked tokens have no correlation and are not judged."""
    assert compare(torch.zeros(1, 4), torch.zeros(1, 4), torch.tensor([[0, 1, 0, 0]])) is None
    stop_if_drifted(None, Precision.SINGLE, GuardSettings())


def test_constant_log_probs_agree():
    """A policy sure of everything has no variance; equal log-probs are agreement, not an undefined number."""
    assert compare(torch.zeros(1, 4), torch.zeros(1, 4), MASK) == Agreement(0.0, 1.0, 4, largest=0.0)


@pytest.mark.parametrize(
    ("drift", "correlation", "precision", "stops"),
    [
        (1e-6, 1.0, Precision.SINGLE, False),
        (5e-4, 0.2, Precision.SINGLE, False),  # all noise, but tiny: a policy sure of every token
        (5e-3, 0.9999, Precision.SINGLE, False),
        (5e-3, 0.99, Precision.SINGLE, True),
        (0.05, 0.9999, Precision.SINGLE, True),
        (0.02, 0.5, Precision.HALF, False),
        (0.1, 0.99, Precision.HALF, False),
        (0.1, 0.9, Precision.HALF, True),
        (0.5, 0.99, Precision.HALF, True),
        (float("nan"), 1.0, Precision.HALF, True),
        (0.1, float("nan"), Precision.HALF, True),
    ],
)
def test_thresholds(drift, correlation, precision, stops):
    """Small drift passes; middling drift passes when correlated; large drift and NaN stop."""
    agreement = Agreement(drift, correlation, tokens=1000, largest=9.0)
    if stops:
        with pytest.raises(PolicyDriftError, match="1000 sampled tokens"):
            stop_if_drifted(agreement, precision, GuardSettings())
    else:
        stop_if_drifted(agreement, precision, GuardSettings())


def test_few_tokens_are_not_judged():
    """A handful of tokens proves nothing."""
    stop_if_drifted(Agreement(5.0, 0.0, tokens=255, largest=9.0), Precision.SINGLE, GuardSettings())
    with pytest.raises(PolicyDriftError):
        stop_if_drifted(Agreement(5.0, 0.0, tokens=256, largest=9.0), Precision.SINGLE, GuardSettings())


def test_the_users_thresholds_win():
    """Settings replace the thresholds of the dtype, in both directions."""
    loose = GuardSettings(max_drift=10.0, min_correlation=-1.0)
    stop_if_drifted(Agreement(5.0, 0.0, tokens=1000, largest=9.0), Precision.SINGLE, loose)
    strict = GuardSettings(max_drift=1e-5)
    with pytest.raises(PolicyDriftError, match="at most 1e-05"):
        stop_if_drifted(Agreement(1e-4, 1.0, tokens=1000, largest=9.0), Precision.SINGLE, strict)


def test_a_stale_head_is_caught_and_the_outlier_of_a_healthy_run_is_not():
    """Log-probs through an old output layer stop the run; rounding and one far outlier do not."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(64, 16, 32, generator=generator)
    head = torch.randn(100, 32, generator=generator) / 32**0.5
    stale = head + 0.5 * torch.randn(100, 32, generator=generator) / 32**0.5
    tokens = torch.randint(100, (64, 16, 1), generator=generator)

    def log_probs(weight):
        return (hidden @ weight.T).log_softmax(-1).gather(-1, tokens).squeeze(-1)

    mask = torch.ones(64, 16)
    actor = log_probs(head)
    rounded = actor.to(torch.bfloat16).float()
    rounded[0, 0] -= 5.0
    stop_if_drifted(compare(rounded, actor, mask), Precision.HALF, GuardSettings())
    for precision in Precision:
        with pytest.raises(PolicyDriftError, match="stale after a sync"):
            stop_if_drifted(compare(log_probs(stale), actor, mask), precision, GuardSettings())
