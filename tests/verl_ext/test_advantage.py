"""The estimator is verl's grpo when nothing is masked, and only masks more when something is."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage, get_adv_estimator_fn

from verl_ext.advantage import backtrack_grpo

ROWS, WIDTH = 12, 5


@given(
    rewards=st.lists(st.integers(-40, 40).map(lambda q: q / 4), min_size=ROWS, max_size=ROWS),
    groups=st.lists(st.sampled_from("abc"), min_size=ROWS, max_size=ROWS),
    lengths=st.lists(st.integers(1, WIDTH), min_size=ROWS, max_size=ROWS),
    normalize=st.booleans(),
)
def test_equals_verls_grpo(rewards, groups, lengths, normalize):
    """For any rewards, groups (of one, too) and lengths, with and without the standard deviation."""
    mask = (torch.arange(WIDTH) < torch.tensor(lengths)[:, None]).long()
    scores = torch.zeros(ROWS, WIDTH)
    scores[torch.arange(ROWS), torch.tensor(lengths) - 1] = torch.tensor(rewards)
    index = np.array(groups, dtype=object)
    ours, _ = backtrack_grpo(scores, mask, index, OmegaConf.create({"norm_adv_by_std_in_grpo": normalize}))
    theirs, _ = compute_grpo_outcome_advantage(scores.clone(), mask, index, norm_adv_by_std_in_grpo=normalize)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_erased_tokens_get_no_advantage():
    """A masked token in the middle stays at zero, and no other token's advantage changes."""
    scores = torch.tensor([[0.0, 0, 1, 0], [0, 0, 0, 0]])
    mask = torch.tensor([[1, 0, 1, 0], [1, 1, 1, 1]])
    config = OmegaConf.create({"norm_adv_by_std_in_grpo": False})
    advantages, returns = backtrack_grpo(scores, mask, np.array(["a", "a"]), config)
    assert advantages.tolist() == [[0.5, 0, 0.5, 0], [-0.5, -0.5, -0.5, -0.5]]
    assert returns is advantages


def test_scores_per_token_are_summed():
    """Where the score sits within the answer does not matter."""
    per_token = torch.tensor([[0.25, 0.5, 0.25], [0, 0, 0]])
    at_end = torch.tensor([[0, 0, 1.0], [0, 0, 0]])
    mask, index = torch.ones(2, 3), np.array(["a", "a"])
    assert torch.equal(backtrack_grpo(per_token, mask, index)[0], backtrack_grpo(at_end, mask, index)[0])


def test_registered():
    """The estimator is found under its name and called with keywords."""
    estimator = get_adv_estimator_fn("backtrack_grpo")
    advantages, _ = estimator(
        token_level_rewards=torch.eye(2),
        response_mask=torch.ones(2, 2),
        config=OmegaConf.create({}),
        index=np.array(["a", "b"], dtype=object),
    )
    torch.testing.assert_close(advantages, torch.ones(2, 2))
