"""The agent loop keeps what was sampled, and its mask is the edits'."""

import asyncio
import json

import hydra.utils
import pytest
import torch
from omegaconf import OmegaConf
from verl.experimental.agent_loop.agent_loop import (
    _agent_loop_registry,
)
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from halluc_plugin.edits import Context
from halluc_plugin.errors import SettingsError, TokenizerError, TraceError
from halluc_plugin.vllm_engine.request import EditRequest
from tests.verl_ext.loops.conftest import build, run, sampled
from verl_ext.loops.backtrack import BacktrackAgentLoop
from verl_ext.run_settings import complete, from_config


def test_keeps_ids_and_log_probs_and_masks_erased_tokens(verl_config, tokenizer, ids):
    """Nothing sampled is changed; the two erased tokens are the only masked ones."""
    trace = ids("ab!!3$")
    output, _ = run(verl_config, tokenizer, sampled(trace))
    assert output.prompt_ids == ids("3 5\n")
    assert output.response_ids == trace
    assert output.response_logprobs == sampled(trace).log_probs
    assert output.response_mask == [0, 0, 1, 1, 1, 1]
    assert output.erased == [1, 1, 0, 0, 0, 0]
    assert output.event == [-1, -1, 0, 0, -1, -1]
    assert output.extra_fields["backtrack"] == {
        "num_backtracks": 2,
        "num_edits": 2,
        "num_events": 1,
        "num_erased": 2,
        "resolved_length": 2,
        "truncated": 0,
    }
    assert output.extra_fields["max_global_steps"] == 3


def test_keep_leaves_erased_tokens_in_the_loss(verl_config, tokenizer, ids):
    """With erased_tokens=keep every sampled token is trained on."""
    verl_config.halluc = {"erased_tokens": "keep"}
    output, _ = run(verl_config, tokenizer, sampled(ids("a!3$")))
    assert output.response_mask == [1, 1, 1, 1]


def test_columns_reach_verls_row(verl_config, tokenizer, ids):
    """as_dict adds one jagged column each for erasure and events, beside verl's own."""
    long, short = (run(verl_config, tokenizer, sampled(ids(t)))[0].as_dict() for t in ("ab!3$", "3$"))
    assert long["backtrack_erased"].tolist() == [0, 1, 0, 0, 0]
    assert long["backtrack_event"].tolist() == [-1, -1, 0, -1, -1]
    assert "erased" not in long
    assert "event" not in long
    table = list_of_dict_to_tensordict([long, short])
    assert table["backtrack_erased"].offsets().tolist() == [0, 5, 7]
    torch.testing.assert_close(long["rollout_log_probs"], torch.tensor([-0.5, -0.51, -0.52, -0.53, -0.54]))


def test_asks_for_the_whole_response_length(verl_config, tokenizer, ids):
    """max_tokens counts raw actions and is said explicitly; no limits are sent when none are set."""
    _, request = run(verl_config, tokenizer, sampled(ids("3$")), {"temperature": 0.5, "top_p": 0.9})
    assert request["sampling_params"] == {"temperature": 0.5, "top_p": 0.9, "max_tokens": 32}


def test_sends_limits_with_the_request(verl_config, tokenizer, ids):
    """Budget and boundary travel in extra_args, beside what was there."""
    verl_config.halluc = {"max_backtracks": 2, "boundary": "mask"}
    complete(verl_config, from_config(verl_config))
    caller = {"temperature": 1.0, "extra_args": {"theirs": 1}}
    _, request = run(verl_config, tokenizer, sampled(ids("3$")), caller)
    extra_args = request["sampling_params"]["extra_args"]
    limits = EditRequest.from_extra_args(extra_args)
    assert (limits.vocab.backtrack, limits.budget, limits.boundary) == (ids("!")[0], 2, "mask")
    assert extra_args["theirs"] == 1
    assert caller == {"temperature": 1.0, "extra_args": {"theirs": 1}}


def test_asks_the_engine_to_rewind(verl_config, tokenizer, ids):
    """In hard context the request says so, never with tabu; every sampled action is kept as ever."""
    verl_config.halluc = {"context": "hard"}
    verl_config.actor_rollout_ref.rollout.val_kwargs.temperature = 1.0
    complete(verl_config, from_config(verl_config))
    output, request = run(verl_config, tokenizer, sampled(ids("ab!!3$")))
    asked = EditRequest.from_extra_args(request["sampling_params"]["extra_args"])
    assert asked == EditRequest(asked.vocab, context=Context.HARD)
    assert asked.vocab.backtrack == ids("!")[0]
    assert request["sampling_params"]["max_tokens"] == 32
    assert output.response_ids == ids("ab!!3$")
    assert output.response_mask == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(("step", "budget"), [(1, 2), (2, None)])
def test_a_curriculum_sets_the_budget(verl_config, tokenizer, ids, step, budget):
    """The engine is asked for the budget of the row's step, and the row keeps it for the actor."""
    verl_config.halluc = {"curriculum": [{"steps": 1, "max_backtracks": 2}, {}]}
    complete(verl_config, from_config(verl_config))
    output, request = run(verl_config, tokenizer, sampled(ids("3$")), step=step)
    extra_args = request["sampling_params"].get("extra_args")
    assert (EditRequest.from_extra_args(extra_args).budget if extra_args else None) == budget
    assert output.as_dict()["backtrack_budget"].tolist() == [-1 if budget is None else budget]


@pytest.mark.parametrize(("text", "truncated"), [("3" * 32, 1), ("3" * 31 + "$", 0), ("3" * 5, 0)])
def test_truncation(verl_config, tokenizer, ids, text, truncated):
    """An answer is cut off if it fills the response length without EOS at the end."""
    output, _ = run(verl_config, tokenizer, sampled(ids(text)))
    assert output.extra_fields["backtrack"]["truncated"] == truncated


@pytest.mark.parametrize(
    "case",
    [
        ("3" * 16, {"max_model_len": 20}, {}, "completed", 1),  # the prompt has 4 of the engine's 20 tokens
        ("3" * 15 + "$", {"max_model_len": 20}, {}, "completed", 0),
        ("3" * 15, {"max_model_len": 20}, {}, "completed", 0),  # a stop string
        ("3" * 31 + "7", {}, {}, "completed", 0),  # the model's other EOS
        ("3" * 31 + "5", {}, {}, "completed", 1),
        ("3" * 31 + "5", {}, {"stop_token_ids": ["5"]}, "completed", 0),
        ("3" * 31 + "$", {"ignore_eos": True}, {}, "completed", 1),
        ("3" * 5, {}, {}, "length", 1),  # hosts that hand on what their engine says
        ("3" * 5, {}, {}, "aborted", 1),
        ("3" * 32, {}, {}, "stop", 0),
    ],
)
def test_cut_off_is_what_the_engine_allowed(verl_config, tokenizer, ids, tmp_path, case):
    """By the room behind the prompt, every id that ends an answer, and the engine's own reason if known."""
    text, rollout, asked, reason, truncated = case
    config = {"eos_token_id": ids("$7")}
    (tmp_path / "generation_config.json").write_text(json.dumps(config))
    verl_config.actor_rollout_ref.model.path = str(tmp_path)
    verl_config.actor_rollout_ref.rollout.update(rollout)
    answer = sampled(ids(text))
    answer.stop_reason = reason
    asked = {name: [ids(text)[0] for text in texts] for name, texts in asked.items()}
    output, _ = run(verl_config, tokenizer, answer, {"temperature": 1.0, "logprobs": True, **asked})
    assert output.extra_fields["backtrack"]["truncated"] == truncated


def test_no_log_prob_is_made_up(verl_config, tokenizer, ids):
    """Missing log-probs stay missing; a wrong number of them is an error."""
    output, _ = run(verl_config, tokenizer, sampled(ids("3$"), log_probs=None))
    assert output.response_logprobs is None
    assert "rollout_log_probs" not in output.as_dict()
    with pytest.raises(TraceError, match="2 tokens with 1 log-probs"):
        run(verl_config, tokenizer, sampled(ids("3$"), log_probs=[-1.0]))


def test_an_empty_output_is_an_error(verl_config, tokenizer):
    """A request that was aborted has no reward to be given."""
    with pytest.raises(TraceError, match="returned no token"):
        run(verl_config, tokenizer, sampled([]))


def test_refuses_a_tokenizer_without_the_token(verl_config, plain_tokenizer):
    """The tokenizer is checked when the loop is built."""
    with pytest.raises(Exception, match="BACKTRACK") as caught:
        asyncio.run(_build_only(verl_config, plain_tokenizer))
    assert isinstance(_root(caught.value), TokenizerError)


def test_refuses_limits_that_the_actor_would_not_know(verl_config, tokenizer):
    """A budget without the engine that applies it to log-probs is refused."""
    verl_config.halluc = {"max_backtracks": 2}
    with pytest.raises(Exception, match="without regard to it") as caught:
        asyncio.run(_build_only(verl_config, tokenizer))
    assert isinstance(_root(caught.value), SettingsError)


async def _build_only(config, tokenizer):
    build(config, tokenizer, None)


def _root(error):
    return error if error.__cause__ is None else _root(error.__cause__)


def test_reads_the_settings_once_a_run(verl_config, tokenizer, ids, monkeypatch):
    """The next trajectory of the same run reads config and tokenizer no second time."""
    run(verl_config, tokenizer, sampled(ids("3$")))
    monkeypatch.setattr("verl_ext.loops.backtrack.from_config", _fail)
    run(verl_config, tokenizer, sampled(ids("3$")))
    with pytest.raises(Exception, match="read again"):
        asyncio.run(_build_only(OmegaConf.create(OmegaConf.to_container(verl_config)), tokenizer))


def _fail(_):
    raise AssertionError("read again")


def test_registered():
    """The loop is known under its name."""
    assert hydra.utils.get_class(_agent_loop_registry["backtrack"]["_target_"]) is BacktrackAgentLoop
