"""What SCoRe's stages pay and hold, by hand, and that what is held has the divergence's gradient."""

import pytest
import torch

from halluc_plugin.credit import TurnStage, held_advantages, pay_turns, spread_turns
from halluc_plugin.errors import TraceError


def test_stages_pay_turns():
    """Wrong then right: stage I pays 0 and 1, stage II 0 and 1 + 10; right then wrong 1 and 0 - 10."""
    right = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    assert pay_turns(right, TurnStage.HOLD, 10.0).tolist() == [[0, 1], [0, 0], [0, 1]]
    assert pay_turns(right, TurnStage.SHAPE, 10.0).tolist() == [[0, 11], [1, -10], [1, 1]]


def test_stages_hold_turns():
    """Stage I holds the first turn alone, stage II both."""
    assert TurnStage.HOLD.holds(0.1) == (0.1, 0.0)
    assert TurnStage.SHAPE.holds(0.01) == (0.01, 0.01)


def test_a_number_for_each_turn():
    """The request between the turns has 0; turns that do not lie in the answer are refused."""
    assert spread_turns((2, 3), 5, 1.0, 2.0).tolist() == [1, 1, 0, 2, 2]
    assert spread_turns((0, 0), 0, 1.0, 2.0).tolist() == []
    for turns in ((3, 2), (2, 6), (-1, 2)):
        with pytest.raises(TraceError, match="do not fit"):
            spread_turns(turns, 5, 1.0, 2.0)


def test_what_is_held_has_the_gradient_of_the_divergence():
    """Summed over all tokens by their probability, -A grad log π is the gradient of β KL(π ‖ π_0)."""
    logits = torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64, requires_grad=True)
    start = torch.log_softmax(torch.tensor([1.0, 0.5, -0.5], dtype=torch.float64), 0)
    policy = torch.log_softmax(logits, 0)
    divergence = 0.1 * (policy.exp() * (policy - start)).sum()
    (wanted,) = torch.autograd.grad(divergence, logits, retain_graph=True)
    found = torch.zeros(3, dtype=torch.float64)
    for token in range(3):
        at = policy[token : token + 1]
        weight = torch.full((1,), 0.1, dtype=torch.float64)
        (advantage,) = held_advantages([torch.zeros(1)], [weight], [at.detach()], [start[token : token + 1]])
        (gradient,) = torch.autograd.grad(-(advantage * at).sum(), logits, retain_graph=True)
        found += at.exp().detach() * gradient
    assert torch.allclose(found, wanted)
