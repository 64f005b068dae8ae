"""Token rewards and their regulariser against the printed formulas in plain floats."""

import math

import pytest
import torch

from halluc_plugin.losses.preference import PreferenceSettings, Sides, preference_loss
from halluc_plugin.losses.token_rewards import regularised, token_rewards


def sigmoid(x):
    """The logistic function in plain floats."""
    return 1 / (1 + math.exp(-x))


def test_rewards_by_hand():
    """Equal log-probs give 0; a token that the better prompt makes three times as likely, 3/4 - 1/2."""
    better, worse = torch.tensor([-1.0, math.log(0.6), -50.0]), torch.tensor([-1.0, math.log(0.2), 0.0])
    assert token_rewards(better, worse).tolist() == pytest.approx([0, 0.25, -0.5])


def test_the_regularised_loss_is_the_printed_one():
    """DPO plus α w times minus β Σ r̂ log π of both sides, where w is DPO's own gradient weight."""
    beta, alpha = 0.5, 0.25
    log_probs = torch.tensor([[-1.0, -2.0], [-0.5, -3.0]], dtype=torch.float64, requires_grad=True)
    rewards = torch.tensor([[0.4, -0.1], [-0.3, 0.2]], dtype=torch.float64)
    sums, weighted = log_probs.sum(1), (log_probs * rewards).sum(1)
    counts = Sides(torch.tensor([2]), torch.tensor([2]))
    reference = Sides(torch.tensor([-2.0], dtype=torch.float64), torch.tensor([-4.0], dtype=torch.float64))
    plain = preference_loss(
        PreferenceSettings(beta=beta), Sides(*sums.split(1)), counts=counts, reference=reference
    )
    found = regularised(plain, Sides(*weighted.split(1)), beta=beta, alpha=alpha)
    margin = beta * ((-3.0 + 2.0) - (-3.5 + 4.0))
    weight = sigmoid(-margin)
    good = (0.4 * -1.0 - 0.1 * -2.0) + (-0.3 * -0.5 + 0.2 * -3.0)
    assert found.losses.item() == pytest.approx(-math.log(sigmoid(margin)) - alpha * weight * beta * good)
    found.losses.sum().backward()
    # The weight has no gradient: α w β r̂ comes on top of DPO's own ∓ β w.
    want = weight * beta * (torch.tensor([[-1.0], [1.0]], dtype=torch.float64) - alpha * rewards)
    torch.testing.assert_close(log_probs.grad, want)
