"""Advantages of turns from a host's columns, by hand."""

import pytest
import torch

from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.rl.turn_credit import LogProbs, Turns, turn_advantages
from halluc_plugin.settings import load

ONES = torch.ones(5)


def two(**changed):
    """Two answers of a group: wrong then right, right then right."""
    told = {
        "prompts": ["p", "p"],
        "turns": [(2, 3), (2, 3)],
        "masks": [torch.tensor([1, 1, 0, 1, 1])] * 2,
        "infos": [{"acc_without_edits": 0.0, "acc": 1.0}, {"acc_without_edits": 1.0, "acc": 1.0}],
    }
    return Turns(**{**told, **changed})


def settings(**turns):
    """The settings of turns."""
    return load({"turns": turns}).turns


def advantages(answers, asked, log_probs=None):
    """Advantages without the division by the deviation, as lists."""
    rows = turn_advantages(answers, asked, log_probs, normalize_by_std=False)
    return [[round(value, 6) for value in row.tolist()] for row in rows]


def test_turns_are_compared_with_the_same_turn_of_their_group():
    """Stage I: both second attempts are right, so nothing. Stage II: first 0 and 1, second 11 and 1."""
    assert advantages(two(), settings(stage="hold")) == [[0.0] * 5, [0.0] * 5]
    shaped = advantages(two(), settings(stage="shape"))
    assert shaped == [[-0.5, -0.5, 0, 5, 5], [0.5, 0.5, 0, -5, -5]]
    assert advantages(two(), settings(stage="shape", alpha=0)) == [[-0.5, -0.5, 0, 0, 0], [0.5, 0.5, 0, 0, 0]]


def test_the_first_turn_is_held():
    """A log-prob that gained 0.5 nats costs 0.05 with β2 = 0.1, in stage I on the first turn alone."""
    found = advantages(two(), settings(stage="hold", hold=0.1), LogProbs([-1 * ONES] * 2, [-1.5 * ONES] * 2))
    assert found == [[-0.05, -0.05, 0, 0, 0]] * 2
    with pytest.raises(DataError, match="no reference"):
        advantages(two(), settings(stage="hold", hold=0.1))


def test_what_was_not_sampled_in_turns_is_refused():
    """An answer without turns, or whose first attempt nobody judged, names the setting that mends it."""
    with pytest.raises(DataError, match="default_agent_loop=refine"):
        advantages(two(turns=[(2, 3), None]), settings(stage="hold"))
    with pytest.raises(DataError, match="reward_manager"):
        advantages(two(infos=[{"acc": 1.0}] * 2), settings(stage="hold"))


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ({"hold": 0.1}, "without a stage nothing is held"),
        ({"stage": "hold", "hold": -1}, "at least 0"),
        ({"stage": "shape", "alpha": -1}, "at least 0"),
        ({"stage": "first"}, "hold, shape"),
    ],
)
def test_wrong_settings_are_refused(turns, said):
    """Each names the setting and what it may be."""
    with pytest.raises(SettingsError, match=said):
        settings(**turns)
