"""The reward manager scores what is left after the edits, with the scorer the row asks for."""

import asyncio
import json
import pickle

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from verl import DataProto
from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager
from verl.trainer.ppo.reward import load_reward_manager
from verl.utils.reward_score import default_compute_score

from halluc_plugin.errors import DataError, SettingsError, TokenizerError
from verl_ext.reward_manager import BacktrackRewardManager

COUNTDOWN = {"numbers": [3, 5, 7], "target": 22}
KEYS = {
    "outcome",
    "process",
    "moves",
    "steps",
    "n_mars",
    "score_bonus",
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


@pytest.fixture
def row(tokenizer):
    """A data row as the agent loop worker sends it; in its text '!' is the edit token and '$' is EOS."""
    table = tokenizer.get_vocab()

    def make(text, *, data_source="halluc/countdown", ground_truth=COUNTDOWN, padding=0):
        ids = [table["<|BACKTRACK|>" if c == "!" else "<|im_end|>" if c == "$" else c] for c in text]
        prompt, response = torch.tensor([[1, 2, 3]]), torch.tensor([ids + [0] * padding])
        mask = torch.tensor([[1] * (3 + len(ids)) + [0] * padding])
        non_tensor = {
            "data_source": data_source,
            "reward_model": {"style": "rule", "ground_truth": ground_truth},
            "extra_info": {"index": 0},
            "tool_extra_fields": {"backtrack": {}},
            "__num_turns__": 2,
            "global_steps": 1,
        }
        return DataProto(
            batch=TensorDict(
                {"prompts": prompt, "responses": response, "attention_mask": mask, "input_ids": mask},
                batch_size=1,
            ),
            non_tensor_batch={key: np.array([value], dtype=object) for key, value in non_tensor.items()},
        )

    return make


def score(config, tokenizer, data, compute_score=default_compute_score):
    """One call, as verl's reward worker makes it."""

    async def call():
        return await BacktrackRewardManager(config, tokenizer, compute_score).run_single(data)

    return asyncio.run(call())


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


@pytest.mark.parametrize("text", ["a=1\n#### 42$", "#### 41$", "abc$", "$"])
def test_equals_naive_on_sources_of_verl(verl_config, tokenizer, row, text):
    """Without edits a source that verl knows gets the reward and the accuracy of verl's naive manager."""
    source, truth = "openai/gsm8k", "42"

    async def naive():
        manager = NaiveRewardManager(verl_config, tokenizer, default_compute_score)
        return await manager.run_single(row(text, data_source=source, ground_truth=truth))

    ours = score(verl_config, tokenizer, row(text, data_source=source, ground_truth=truth))
    theirs = asyncio.run(naive())
    assert ours["reward_score"] == theirs["reward_score"]
    assert ours["reward_extra_info"]["acc"] == theirs["reward_extra_info"]["acc"]


def test_sources_of_verl_are_scored_collapsed(verl_config, tokenizer, row):
    """The scorer of verl sees the resolved text; the raw text has another last number."""
    result = score(verl_config, tokenizer, row("#### 41!2$", data_source="openai/gsm8k", ground_truth="42"))
    assert result["reward_score"] == 1.0
    assert result["reward_extra_info"]["acc_raw"] == 0.0
    assert result["reward_extra_info"]["backtrack"] == pytest.approx(0.25)


def test_an_unknown_source_is_named(verl_config, tokenizer, row):
    """The error says what can be scored."""
    with pytest.raises(DataError, match=r"'nobody/knows'.*halluc/countdown.*openai/gsm8k"):
        score(verl_config, tokenizer, row("3$", data_source="nobody/knows"))


def test_a_users_function_wins(verl_config, tokenizer, row, tmp_path):
    """A custom reward function is asked even where a verifier of ours exists; dicts and coroutines work."""
    (tmp_path / "custom.py").write_text(
        "async def score(data_source, solution_str, ground_truth, extra_info, **_):\n"
        "    return {'score': 0.25, 'acc': solution_str == '4', 'seen': extra_info['index']}\n",
        encoding="utf-8",
    )
    verl_config.reward.custom_reward_function.path = str(tmp_path / "custom.py")
    verl_config.reward.custom_reward_function.name = "score"

    async def call():
        return await load_reward_manager(verl_config, tokenizer).run_single(row("3!4$"))

    result = asyncio.run(call())
    assert result["reward_score"] == 0.25
    assert (result["reward_extra_info"]["acc"], result["reward_extra_info"]["acc_raw"]) == (1.0, 0.0)


ODD_ERRORS = """
class TwoArguments(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")

class Speechless(Exception):
    def __str__(self):
        raise ValueError

"""


@pytest.fixture
def asked(verl_config, tokenizer, tmp_path):
    """One answer, scored by a function ``score`` of a file with this source."""

    def run(source, data):
        (tmp_path / "custom.py").write_text(source, encoding="utf-8")
        verl_config.reward.custom_reward_function.path = str(tmp_path / "custom.py")
        verl_config.reward.custom_reward_function.name = "score"

        async def call():
            manager = load_reward_manager(verl_config, tokenizer)
            return await asyncio.wait_for(manager.run_single(data), timeout=30)

        return asyncio.run(call())

    return run


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return next(iter([]))", r"StopIteration|RuntimeError"),
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("raise TwoArguments(1, 2)", "TwoArguments: 1 and 2"),
        ("raise NotImplementedError('not yet')", "NotImplementedError: not yet"),
        ("raise Speechless", "Speechless"),
        ("return {}['key']", "KeyError: 'key'"),
    ],
)
def test_what_a_users_function_raises_is_told(asked, row, kind, body, said):
    """Whatever it is, it arrives as one error that can be pickled and names what was raised."""
    raising = f"{kind} score(data_source, **_):\n    {body}\n"
    with pytest.raises(DataError, match=rf"reward function raised .*({said}).*halluc/countdown") as raised:
        asked(ODD_ERRORS + raising, row("3$"))
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


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


@pytest.mark.parametrize(("source", "truth"), [("halluc/countdown", COUNTDOWN), ("openai/gsm8k", "22")])
def test_continuations_give_values(verl_config, tokenizer, row, source, truth):
    """A state is worth the share of its continuations that are right, whoever scores them."""
    verl_config.halluc = {"values": {"source": "continuations", "continuations": 2}}
    right, wrong = ("3*5=15\n15+7=22\n", "3+5=8\n") if source == "halluc/countdown" else ("#### 22", "#### 2")
    data = row(
        "3!3*5=15\n15+7=22\n$" if source == "halluc/countdown" else "3!#### 22$",
        data_source=source,
        ground_truth=truth,
    )
    ids = [[tokenizer.get_vocab()[c] for c in text] for text in (right, wrong)]
    data.non_tensor_batch["tool_extra_fields"][0] = {
        "backtrack_continuations": {1: [np.array(row, dtype=np.int32) for row in ids], 2: [ids[0], ids[0]]}
    }
    info = score(verl_config, tokenizer, data)["reward_extra_info"]
    assert json.loads(info["moves"]) == [[0.5, 1.0]]
    assert info["acc_without_edits"] == 0.5
    assert info["score_bonus"] == 0.5


def test_missing_continuations_are_an_error(verl_config, tokenizer, row):
    """Values by continuations never fall back on the verifier's in silence."""
    verl_config.halluc = {"values": {"source": "continuations"}}
    with pytest.raises(DataError, match="an answer comes without continuations"):
        score(verl_config, tokenizer, row("3!3*5=15\n15+7=22\n$"))


@pytest.mark.parametrize(
    ("problem", "moves"),
    [
        (("halluc/countdown", COUNTDOWN, "3+5=9\n!!!!!!3*5=15\n15+7=22\n$"), [[0.0, 1.0]]),
        (("openai/gsm8k", "22", "3!#### 22$"), [[0.5, 1.0]]),
    ],
)
def test_auto_asks_the_verifier_where_there_is_one(verl_config, tokenizer, row, problem, moves):
    """It needs no continuations where states are judged; elsewhere they are the values.

    What only some answers of a run would have is not logged.
    """
    source, truth, text = problem
    verl_config.halluc = {"values": {"source": "auto"}}
    data = row(text, data_source=source, ground_truth=truth)
    if source == "openai/gsm8k":
        right, wrong = ([tokenizer.get_vocab()[c] for c in text] for text in ("#### 22", "#### 2"))
        sampled = {"backtrack_continuations": {1: [right, wrong], 2: [right, right]}}
        data.non_tensor_batch["tool_extra_fields"][0] = sampled
    info = score(verl_config, tokenizer, data)["reward_extra_info"]
    assert json.loads(info["moves"]) == moves
    assert "acc_without_edits" not in info


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
