"""The agent loop with resets: one first answer for a group, and suffixes behind what is kept of it."""

import asyncio
from itertools import count
from types import SimpleNamespace

import hydra.utils
import pytest
from hydra.errors import InstantiationException
from verl.experimental.agent_loop.agent_loop import DictConfigWrap, ToolListWrap, _agent_loop_registry
from verl.workers.rollout.replica import TokenOutput

from halluc_plugin.errors import DataError, SettingsError, TraceError
from verl_ext.columns import RESET
from verl_ext.loops import resets

NAMES = count()
"""Names of groups: a worker remembers their first answers."""
PROMPT = [{"role": "user", "content": "3 5\n"}]
TRUTH = {"numbers": [3, 5, 7], "target": 22}


class CannedServer:
    """Answers in turn and remembers what it was asked."""

    def __init__(self, answers):
        self.answers, self.requests = list(answers), []

    async def generate(self, **request):
        """The next answer."""
        self.requests.append(request)
        ids, log_probs = self.answers[len(self.requests) - 1]
        await asyncio.sleep(0)
        return TokenOutput(token_ids=ids, log_probs=log_probs, stop_reason="completed", extra_fields={})


@pytest.fixture
def ids(plain_tokenizer):
    """Ids of characters, EOS written '$'."""
    table = plain_tokenizer.get_vocab()
    return lambda text: [table["<|im_end|>" if c == "$" else c] for c in text]


@pytest.fixture
def group(verl_config, plain_tokenizer):
    """The answers of one group; returns them and the requests."""

    def run(*answers, at="random", n=3, length=32, source="halluc/countdown", delimiter="\n"):
        resets._run_constants.cache_clear()  # a run's config does not change
        verl_config.halluc = {"resets": {"at": at}, "tokens": {"step_delimiter": delimiter}}
        verl_config.actor_rollout_ref.rollout.response_length = length
        server, uid = CannedServer(answers), f"u{next(NAMES)}"

        async def rollout(number):
            loop = hydra.utils.instantiate(
                config=_agent_loop_registry["resets"],
                trainer_config=DictConfigWrap(config=verl_config),
                server_manager=server,
                tokenizer=plain_tokenizer,
                processor=None,
                hf_model_type="qwen2",
                dataset_cls=SimpleNamespace,
                data_config=DictConfigWrap(config=verl_config.data),
                tools=ToolListWrap([]),
            )
            row = {"uid": uid, "global_steps": 1, "session_id": number, "data_source": source}
            row["reward_model"] = {"style": "rule", "ground_truth": TRUTH}
            params = {"temperature": 1.0, "logprobs": True}
            return await loop.run(params, raw_prompt=PROMPT, **row)

        async def together():
            return await asyncio.gather(*(rollout(number) for number in range(n)))

        return asyncio.run(together()), server.requests

    return run


def scored(ids, *log_probs):
    """An answer with its log-probs, all alike unless given."""
    return ids, list(log_probs) or [-0.5] * len(ids)


def test_a_failed_answer_is_reset(group, ids):
    """It is sampled once; the others follow the line that is kept, and learn from their suffixes alone."""
    first, suffix = ids("3*5=15\n15-7=8\n$"), ids("15+7=22\n$")
    outputs, requests = group(scored(first), scored(suffix), scored(suffix), at="first-error")
    prompt = ids("3 5\n")
    kept = len(ids("3*5=15\n"))
    assert [r["prompt_ids"] for r in requests] == [prompt, *([*prompt, *first[:kept]] for _ in range(2))]
    assert [r["sampling_params"]["max_tokens"] for r in requests] == [32, 32 - kept, 32 - kept]
    assert outputs[0].response_ids == first
    assert outputs[0].response_mask == [0] * len(first)
    for output in outputs[1:]:
        assert output.prompt_ids == prompt
        assert output.response_ids == first[:kept] + suffix
        assert output.response_mask == [0] * kept + [1] * len(suffix)
        assert output.response_logprobs == [-0.5] * (kept + len(suffix))
        assert output.extra_fields[RESET] == kept


def test_a_right_answer_is_not(group, ids):
    """The group is of whole answers, which all learn."""
    right = ids("3*5=15\n15+7=22\n$")
    outputs, requests = group(scored(right), scored(right), scored(right))
    assert [r["prompt_ids"] for r in requests] == [ids("3 5\n")] * 3
    assert all(output.response_mask == [1] * len(right) for output in outputs)
    assert {output.extra_fields[RESET] for output in outputs} == {-1}


def test_the_model_finds_the_step_by_its_log_probs(group, ids):
    """The least likely line is the second one."""
    first, suffix = ids("3*5=15\n15-7=8\n$"), ids("7$")
    kept = len(ids("3*5=15\n"))
    doubts = [-0.1] * kept + [-3.0] * (len(first) - kept)
    outputs, _ = group(scored(first, *doubts), scored(suffix), at="least-likely", n=2)
    assert outputs[1].response_ids == first[:kept] + suffix
    assert outputs[1].response_logprobs == doubts[:kept] + [-0.5] * 2
    with pytest.raises(SettingsError, match="log-probs of an answer are not known"):
        group((first, None), (suffix, None), at="least-likely", n=2)


def test_log_probs_are_never_made_up(group, ids):
    """Without them there are none."""
    first, suffix = ids("3-5=8\n$"), ids("7$")
    outputs, _ = group((first, None), (suffix, None), n=2)
    assert [output.response_logprobs for output in outputs] == [None, None]
    with pytest.raises(TraceError, match="2 tokens with 1 log-probs"):
        group((ids("3$"), [-0.1]), n=1)
    with pytest.raises(TraceError, match="returned no token"):
        group(([], []), n=1)


def test_under_full_determinism_a_first_answer_has_one_seed(group, ids, verl_config):
    """Whoever of its group asks for it; the suffixes have seeds of their own."""
    verl_config.actor_rollout_ref.rollout.full_determinism = True
    first, suffix = ids("3-5=8\n$"), ids("7$")
    _, requests = group(scored(first), scored(suffix), scored(suffix))
    assert len({request["sampling_params"]["seed"] for request in requests}) == 3


def test_what_cannot_be_reset_is_refused(group, ids, verl_config):
    """Sources that nothing judges, text without steps, and a scoring function of the user's."""
    with pytest.raises(DataError, match="Nothing of halluc judges 'theirs'"):
        group(scored(ids("3$")), source="theirs", n=1)
    with pytest.raises(InstantiationException, match="ends with the step delimiter"):
        group(scored(ids("3$")), delimiter="@@", n=1)
    verl_config.reward.custom_reward_function.path = "judge.py"
    with pytest.raises(InstantiationException, match="by the verifiers of halluc alone"):
        group(scored(ids("3$")), n=1)
