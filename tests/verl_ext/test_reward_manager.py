"""The reward manager scores what is left after the edits, with the scorer the row asks for."""

import asyncio
import json

import pytest
from verl.trainer.ppo.reward import load_reward_manager

from halluc_plugin.errors import SettingsError, TokenizerError
from tests.verl_ext.scored_rows import row, score
from verl_ext.reward_manager import BacktrackRewardManager

__all__ = ["row"]  # fixtures

KEYS = {
    "outcome",
    "process",
    "process_min",
    "moves",
    "steps",
    "n_mars",
    "score_bonus",
    "length_cost",
    "format",
    "backtrack",
    "acc",
    "acc_raw",
    "num_backtracks",
    "num_events",
    "num_noops",
    "num_erased",
    "raw_length",
    "resolved_length",
    "backtracked",
    "token_efficiency",
    "truncated",
}


def test_scores_of_minus_one_are_no_accuracies(verl_config, tokenizer, row):
    """Paid as they are; what is logged as accuracy is that of the outcome."""

    def dapo(solution_str, ground_truth, **_):
        return 1.0 if solution_str == ground_truth else -1.0

    verl_config.reward.custom_reward_function.path = "judge.py"
    for text, paid, accuracies in (("1!2$", 1.0, (1.0, 0.0)), ("3$", -1.0, (0.0, 0.0))):
        found = score(verl_config, tokenizer, row(text, ground_truth="2"), dapo)
        info = found["reward_extra_info"]
        assert (found["reward_score"], info["acc"], info["acc_raw"]) == (paid, *accuracies)


@pytest.mark.parametrize("answer", ["1" * 5000, "3*5=" + "1" * 5000, "03*5=15\n15+7=22"])
def test_odd_numbers_are_wrong_answers(verl_config, tokenizer, row, answer):
    """A digit string that Python would not read, or would read as the right number, earns nothing."""
    assert score(verl_config, tokenizer, row(answer))["reward_score"] == 0.0


def test_scores_the_collapsed_answer(verl_config, tokenizer, row):
    """A corrected answer is right, its raw text is not; padding after it counts for nothing."""
    result = score(verl_config, tokenizer, row("3+5=9\n!!!!!!3*5=15\n15+7=22\n$", padding=4))
    info = result["reward_extra_info"]
    assert result["reward_score"] == 1.0
    assert info.keys() == KEYS
    assert (info["acc"], info["acc_raw"], info["outcome"], info["format"]) == (1.0, 0.0, 1.0, 1.0)
    assert info["backtrack"] == pytest.approx(0.4 + 0.25)
    assert (info["num_backtracks"], info["num_events"], info["raw_length"]) == (6, 1, 28)
    assert info["truncated"] == 0.0


def test_weights_come_from_the_block(verl_config, tokenizer, row):
    """The reward is the weighted sum of the parts."""
    verl_config.halluc = {
        "reward": {"weights": {"outcome": 1.0, "format": 0.5, "backtrack": 2.0}, "gamma": 0.1}
    }
    assert score(verl_config, tokenizer, row("3*5=15\n15+7=22\n$"))["reward_score"] == pytest.approx(
        1 + 0.5 + 0.2
    )


def test_a_baseline_without_the_token(verl_config, tokenizer, plain_tokenizer, row):
    """A run without backtracking needs no token; its rows carry the same keys."""
    verl_config.actor_rollout_ref.rollout.agent.default_agent_loop = "single_turn_agent"
    info = score(verl_config, plain_tokenizer, row("3*5=15\n15+7=22\n$"))["reward_extra_info"]
    assert info.keys() == KEYS
    assert (info["acc"], info["acc_raw"], info["num_backtracks"], info["token_efficiency"]) == (
        1.0,
        1.0,
        0,
        1.0,
    )


def test_a_backtracking_run_needs_the_token(verl_config, plain_tokenizer, row):
    """Otherwise every answer would be scored unresolved."""
    with pytest.raises(TokenizerError):
        score(verl_config, plain_tokenizer, row("3$"))


def test_moves_travel_as_text(verl_config, tokenizer, row):
    """What each event was worth is JSON, which verl's metrics pass over; null where nothing judges states."""
    info = score(verl_config, tokenizer, row("3+5=9\n!!!!!!3*5=15\n!!!!!!!3*5=15\n15+7=22\n$"))[
        "reward_extra_info"
    ]
    assert json.loads(info["moves"]) == [[0.0, 1.0], [1.0, 1.0]]
    assert info["process"] == 1.0
    plain = score(verl_config, tokenizer, row("3$"))["reward_extra_info"]
    assert json.loads(plain["moves"]) == []
    other = row("#### 41!2$", data_source="openai/gsm8k", ground_truth="42")
    assert json.loads(score(verl_config, tokenizer, other)["reward_extra_info"]["moves"]) is None


@pytest.mark.parametrize(("first", "before"), [("3+5=9\n$", 0.0), ("3*5=15\n15+7=22\n$", 1.0)])
def test_an_answer_in_turns(verl_config, plain_tokenizer, row, first, before):
    """The second attempt is scored, and the bonus compares it with the first; the request is in neither."""
    verl_config.actor_rollout_ref.rollout.agent.default_agent_loop = "refine"
    verl_config.actor_rollout_ref.rollout.response_length = 64
    verl_config.halluc = {"reward": {"weights": {"outcome": 1.0, "score_bonus": 10.0}}}
    second = "3*5=15\n15+7=22\n$"
    data = row(first + "#\n" + second)
    data.non_tensor_batch["tool_extra_fields"][0] = {"refinement_turns": [len(first), len(first) + 2]}
    result = score(verl_config, plain_tokenizer, data)
    info = result["reward_extra_info"]
    assert result["reward_score"] == 1.0 + 10.0 * (1.0 - before)
    assert (info["acc"], info["acc_without_edits"], info["score_bonus"]) == (1.0, before, 1.0 - before)
    assert info["raw_length"] == len(first) + len(second)
    assert info["truncated"] == 0.0
    assert (info["turn_change"] == 0) is (first == second)


def test_a_curriculum_changes_the_reward(verl_config, tokenizer, row):
    """The weights are those of the row's own step."""
    verl_config.halluc = {
        "curriculum": [{"steps": 1, "weights": {"format": 0.5}}, {"weights": {"format": 2}}]
    }
    data = row("3*5=15\n$")
    assert score(verl_config, tokenizer, data)["reward_score"] == 0.5
    data.non_tensor_batch["global_steps"][0] = 2
    assert score(verl_config, tokenizer, data)["reward_score"] == 2.0


def test_truncated_answers_are_marked(verl_config, tokenizer, row):
    """An answer that fills the response length without EOS was cut off."""
    assert score(verl_config, tokenizer, row("3" * 32))["reward_extra_info"]["truncated"] == 1.0
    assert score(verl_config, tokenizer, row("3" * 31 + "$"))["reward_extra_info"]["truncated"] == 0.0


@pytest.mark.parametrize("case", [(None, 20, 0.0), (None, 17, 1.0), (1, 20, 1.0), (0, 17, 0.0)])
def test_truncation_is_the_agent_loops(verl_config, tokenizer, row, case):
    """It knows what the engine was asked for; for verl's own loops room is what the prompt leaves."""
    known, length, truncated = case
    verl_config.actor_rollout_ref.rollout.max_model_len = length
    data = row("3" * 14, padding=3)  # behind a prompt of three
    data.non_tensor_batch["tool_extra_fields"][0] = (
        {} if known is None else {"backtrack": {"truncated": known}}
    )
    assert score(verl_config, tokenizer, data)["reward_extra_info"]["truncated"] == truncated


def test_unknown_component(verl_config, tokenizer, row):
    """A misspelt reward component stops the worker as it starts."""
    verl_config.halluc = {"reward": {"weights": {"otcome": 1.0}}}
    with pytest.raises(SettingsError, match="Did you mean outcome"):
        score(verl_config, tokenizer, row("3$"))


def test_registered(verl_config, tokenizer):
    """The manager is built by its name, as verl's reward worker builds it."""

    async def build():
        return load_reward_manager(
            verl_config, tokenizer, reward_router_address=None, reward_model_tokenizer=None
        )

    assert isinstance(asyncio.run(build()), BacktrackRewardManager)
