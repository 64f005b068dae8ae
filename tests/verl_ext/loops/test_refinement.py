"""The agent loop in turns: two attempts and a request between them, of which only the attempts learn."""

import asyncio
from types import SimpleNamespace

import hydra.utils
import pytest
from verl.experimental.agent_loop.agent_loop import DictConfigWrap, ToolListWrap, _agent_loop_registry
from verl.workers.rollout.replica import TokenOutput

from halluc_plugin.errors import SettingsError, TraceError
from verl_ext.columns import TURNS

PROMPT = [{"role": "user", "content": "3 5\n"}]


class CannedServer:
    """Answers in turn and remembers what it was asked."""

    def __init__(self, answers):
        self.answers, self.requests = list(answers), []

    async def generate(self, **request):
        """The next answer."""
        self.requests.append(request)
        ids, log_probs = self.answers[len(self.requests) - 1]
        extra = {"global_steps": 3, "min_global_steps": 3, "max_global_steps": 3}
        return TokenOutput(token_ids=ids, log_probs=log_probs, stop_reason="completed", extra_fields=extra)


@pytest.fixture
def ids(plain_tokenizer):
    """Ids of characters, EOS written '$'."""
    table = plain_tokenizer.get_vocab()
    return lambda text: [table["<|im_end|>" if c == "$" else c] for c in text]


@pytest.fixture
def run(verl_config, plain_tokenizer):
    """One rollout with these answers; returns it and the requests."""

    def once(*answers, instruction="#\n", length=32):
        verl_config.halluc = {"turns": {"instruction": instruction}}
        verl_config.actor_rollout_ref.rollout.response_length = length
        if "continuous_token" in verl_config.data:  # verl 0.9.0 is not told the model's type
            verl_config.data.continuous_token.model_family = "qwen"

        async def rollout():
            server = CannedServer(answers)
            loop = hydra.utils.instantiate(
                config=_agent_loop_registry["refine"],
                trainer_config=DictConfigWrap(config=verl_config),
                server_manager=server,
                tokenizer=plain_tokenizer,
                processor=None,
                hf_model_type="qwen2",
                dataset_cls=SimpleNamespace,
                data_config=DictConfigWrap(config=verl_config.data),
                tools=ToolListWrap([]),
            )
            row = {"uid": "u", "global_steps": 1, "session_id": 0}
            return await loop.run({"temperature": 1.0, "logprobs": True}, raw_prompt=PROMPT, **row), server

        output, server = asyncio.run(rollout())
        return output, server.requests

    return once


def test_a_second_attempt_that_fills_its_room_is_cut_off(run, ids):
    """Of 16 actions the first attempt and the request take 9: the second may have 7, EOS among them."""
    for second, cut_off in (("3*5=157", 1), ("3*5=15$", 0)):
        output, _ = run((ids("3+5=9$"), [-0.1] * 6), (ids(second), [-0.2] * 7), length=16)
        assert output.extra_fields["backtrack"] == {"truncated": cut_off}


def test_two_attempts_and_a_request(run, ids):
    """Ids and log-probs are those sampled; the request is masked; the second attempt sees all before it.

    For Qwen verl writes a new line behind the end of a turn, which is part of the request.
    """
    first, second = ids("3+5=9$"), ids("3*5=15$")
    output, requests = run((first, [-0.1] * 6), (second, [-0.2] * 7))
    assert output.prompt_ids == ids("3 5\n")
    assert output.response_ids == first + ids("\n#\n") + second
    assert output.response_mask == [1] * 6 + [0] * 3 + [1] * 7
    assert output.response_logprobs == [-0.1] * 6 + [0.0] * 3 + [-0.2] * 7
    assert output.extra_fields[TURNS] == [6, 9]
    assert output.extra_fields["backtrack"] == {"truncated": 0}
    assert [r["prompt_ids"] for r in requests] == [ids("3 5\n"), ids("3 5\n") + first + ids("\n#\n")]
    assert [r["sampling_params"]["max_tokens"] for r in requests] == [15, 23]


def test_a_first_attempt_without_an_end(run, ids):
    """One that was cut off at its half is followed by the request all the same."""
    output, _ = run((ids("3" * 15), [-0.1] * 15), (ids("4$"), [-0.1] * 2))
    assert output.extra_fields[TURNS] == [15, 17]
    assert len(output.response_ids) == 19


def test_under_full_determinism_the_attempts_are_two_samples(run, ids, verl_config):
    """Each has a seed of its own."""
    verl_config.actor_rollout_ref.rollout.full_determinism = True
    _, requests = run((ids("3$"), None), (ids("4$"), None))
    assert len({request["sampling_params"]["seed"] for request in requests}) == 2


def test_no_log_prob_is_made_up(run, ids):
    """Without log-probs there are none; a wrong number of them is an error."""
    output, _ = run((ids("3$"), None), (ids("4$"), None))
    assert output.response_logprobs is None
    with pytest.raises(TraceError, match="2 tokens with 1 log-probs"):
        run((ids("3$"), [-0.1]), (ids("4$"), [-0.1]))


def test_room_for_two(run, ids):
    """A request that leaves no room is refused before anything is sampled; an engine must say something."""
    with pytest.raises(SettingsError, match="leaves no room for two attempts and the 4 tokens"):
        run((ids("3$"), None), instruction="abc\n", length=5)
    with pytest.raises(TraceError, match="returned no token"):
        run(([], None))
