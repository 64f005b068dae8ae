"""Advantages of answers and of single actions."""

import pytest
import torch

from halluc_plugin.credit import group_relative, spread
from halluc_plugin.errors import TraceError


def test_hand_computed_group():
    """Rewards 1, 2, 3 of one prompt have mean 2 and unbiased deviation 1."""
    advantages = group_relative(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 0, 0]), epsilon=0.0)
    assert advantages.tolist() == [-1.0, 0.0, 1.0]


def test_without_normalisation():
    """Dr. GRPO subtracts each group's mean only; an answer alone keeps its reward."""
    rewards = torch.tensor([1.0, 5.0, 4.0, 0.0])
    advantages = group_relative(rewards, torch.tensor([0, 1, 0, 0]), normalize_by_std=False)
    torch.testing.assert_close(advantages, torch.tensor([-2 / 3, 5.0, 7 / 3, -5 / 3]))


def test_equal_rewards_give_exactly_nothing():
    """A group without contrast teaches nothing, not even rounding noise blown up by the deviation."""
    rewards = torch.full((8,), 0.1)
    assert group_relative(rewards, torch.zeros(8, dtype=torch.long)).abs().max() == 0


def test_credit_is_added_after_normalisation():
    """A token's own credit is not divided by the group's deviation, and masked tokens get nothing."""
    mask = torch.tensor([[True, False, True], [True, True, False]])
    credit = torch.tensor([[0.5, 9.0, 0.0], [0.0, -1.0, 9.0]])
    per_token = spread(torch.tensor([2.0, -1.0]), mask, credit)
    assert per_token.tolist() == [[2.5, 0.0, 2.0], [-1.0, -2.0, 0.0]]
    assert spread(torch.tensor([2.0, -1.0]), mask).tolist() == [[2.0, 0.0, 2.0], [-1.0, -1.0, 0.0]]


def test_no_answers():
    """An empty batch is fine."""
    assert group_relative(torch.zeros(0), torch.zeros(0, dtype=torch.long)).shape == (0,)


def test_refuses_misfits():
    """Shapes that do not fit are named."""
    with pytest.raises(TraceError, match=r"\(2,\) and groups \(3,\)"):
        group_relative(torch.zeros(2), torch.zeros(3, dtype=torch.long))
    with pytest.raises(TraceError, match=r"token_credit \(2, 2\)"):
        spread(torch.zeros(2), torch.ones(2, 3), torch.zeros(2, 2))
