"""The estimator is verl's grpo when nothing is masked, and only masks more when something is."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from verl.trainer.config import AlgoConfig
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage, get_adv_estimator_fn

from halluc_plugin.edits import EditVocab
from halluc_plugin.rl.answers import Answers, shape
from halluc_plugin.settings import CreditSettings, Settings
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


EDIT = 9
TRACES = [[1, 2, EDIT, 3, 0], [1, 3, 0], [2, 0], [1, EDIT, 2, 3, 0]]
MOVES = [[[0.0, 1.0]], [], [], [[1.0, 0.5]]]


@pytest.mark.parametrize(
    "name",
    [
        "grpo", "grpo_vectorized", "grpo_passk", "rloo", "rloo_vectorized", "opo", "gpg",
        "reinforce_plus_plus_baseline", "backtrack_grpo",
    ],
)  # fmt: skip
def test_credit_comes_on_top_of_any_estimator(name):
    """Whatever verl's estimator made of the answers stays, but for edits: they get α·Δ besides.

    Erased tokens have no part in it, and keep no advantage.
    """
    width = max(map(len, TRACES))
    mask = torch.zeros(len(TRACES), width)
    for row, trace in enumerate(TRACES):
        erased = trace.index(EDIT) - 1 if EDIT in trace else None
        mask[row, [i for i in range(len(trace)) if i != erased]] = 1
    scores = torch.zeros_like(mask)
    for row, reward in enumerate((1.0, 0.0, 0.5, 0.25)):
        scores[row, len(TRACES[row]) - 1] = reward
    config = AlgoConfig(norm_adv_by_std_in_grpo=True)
    index = np.array(["a", "a", "b", "b"], dtype=object)
    theirs, _ = get_adv_estimator_fn(name)(
        token_level_rewards=scores.clone(), response_mask=mask, index=index, config=config
    )
    answers = Answers(
        keys=list("0123"),
        prompts=list(index),
        responses=TRACES,
        masks=[mask[i, : len(trace)] for i, trace in enumerate(TRACES)],
        advantages=[theirs[i, : len(trace)] for i, trace in enumerate(TRACES)],
        rewards=scores.sum(-1).tolist(),
        infos=[{"moves": json.dumps(moves)} for moves in MOVES],
    )
    settings = Settings(credit=CreditSettings(alpha=0.5))
    ours, _ = shape(answers, EditVocab(backtrack=EDIT), settings)
    for row, trace in enumerate(TRACES):
        expected = theirs[row, : len(trace)] * mask[row, : len(trace)]
        for move in MOVES[row]:
            expected[trace.index(EDIT)] += 0.5 * (move[1] - move[0])
        torch.testing.assert_close(ours[row], expected)
    assert any(row.abs().sum() > 0 for row in ours)
