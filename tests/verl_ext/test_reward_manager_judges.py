"""Who judges in the reward manager: sources of verl, a user's function, and values of states."""

import asyncio
import json
import pickle

import numpy as np
import pytest
from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager
from verl.trainer.ppo.reward import load_reward_manager
from verl.utils.reward_score import default_compute_score

from halluc_plugin.errors import DataError
from tests.verl_ext.scored_rows import COUNTDOWN, row, score

__all__ = ["row"]  # fixtures


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
