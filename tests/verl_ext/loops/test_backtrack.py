"""The agent loop keeps what was sampled, and its mask is the edits'."""

import asyncio
import json
import pickle
from types import SimpleNamespace

import hydra.utils
import pytest
import torch
from omegaconf import OmegaConf
from verl.experimental.agent_loop.agent_loop import (
    AgentLoopMetrics,
    DictConfigWrap,
    ToolListWrap,
    _agent_loop_registry,
)
from verl.trainer.ppo.v1 import agent_loop_tq
from verl.utils.tensordict_utils import list_of_dict_to_tensordict
from verl.workers.rollout.replica import TokenOutput

from halluc_plugin.edits import Context
from halluc_plugin.errors import SettingsError, TokenizerError, TraceError
from halluc_plugin.rewards import registry
from halluc_plugin.vllm_engine.request import EditRequest
from verl_ext.loops.backtrack import BacktrackAgentLoop, BacktrackOutput
from verl_ext.run_settings import complete, from_config

PROMPT = [{"role": "user", "content": "3 5\n"}]


class CannedServer:
    """Answers every request with one output and remembers what it was asked."""

    def __init__(self, output: TokenOutput) -> None:
        self.output = output
        self.requests = []

    async def generate(self, **request):
        """The canned output."""
        self.requests.append(request)
        return self.output


def sampled(ids, log_probs="as many as ids", **fields):
    """An output of the rollout server."""
    if log_probs == "as many as ids":
        log_probs = [-0.5 - 0.01 * i for i in range(len(ids))]
    extra = {"global_steps": 3, "min_global_steps": 3, "max_global_steps": 3}
    return TokenOutput(
        token_ids=ids, log_probs=log_probs, stop_reason="completed", extra_fields=extra, **fields
    )


def build(config, tokenizer, output):
    """The loop, built the way verl's worker builds it for every trajectory."""
    server = CannedServer(output)
    loop = hydra.utils.instantiate(
        config=_agent_loop_registry["backtrack"],
        trainer_config=DictConfigWrap(config=config),
        server_manager=server,
        tokenizer=tokenizer,
        processor=None,
        hf_model_type="qwen2",
        dataset_cls=SimpleNamespace,
        data_config=DictConfigWrap(config.data),
        tools=ToolListWrap([]),
    )
    return loop, server


def run(config, tokenizer, output, sampling_params=None, *, step=1):
    """One rollout; returns it and the request the server saw."""
    result, requests = run_all(config, tokenizer, output, sampling_params, step=step)
    return result, requests[0]


def run_all(config, tokenizer, output, sampling_params=None, *, step=1, data_source="x", session=0):
    """One rollout; returns it and all requests that the server saw."""

    async def rollout():
        loop, server = build(config, tokenizer, output)
        params = {"temperature": 1.0, "logprobs": True} if sampling_params is None else sampling_params
        row = {"raw_prompt": PROMPT, "data_source": data_source, "uid": "u", "global_steps": step}
        return await loop.run(params, **row, session_id=session), server

    result, server = asyncio.run(rollout())
    return result, server.requests


@pytest.fixture
def ids(tokenizer):
    """Ids of the characters and of the edit token '<|BACKTRACK|>', written '!'."""
    table = tokenizer.get_vocab()
    return lambda text: [
        table["<|BACKTRACK|>" if c == "!" else "<|im_end|>" if c == "$" else c] for c in text
    ]


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


@pytest.mark.parametrize("context", list(Context))
def test_samples_from_states(verl_config, tokenizer, ids, context):
    """Before and after each event, edits banned, seeing the raw prefix or in hard context the live text."""
    verl_config.halluc = {
        "context": context.value,
        "values": {"source": "continuations", "continuations": 2},
    }
    verl_config.actor_rollout_ref.rollout.val_kwargs.temperature = 1.0
    complete(verl_config, from_config(verl_config))
    trace = ids("ab!!3$")
    output, requests = run_all(verl_config, tokenizer, sampled(trace))
    first, *others = requests
    assert first["prompt_ids"] == ids("3 5\n")
    hard = context is Context.HARD
    seen = [ids("ab"), [] if hard else ids("ab!!")]
    assert [r["prompt_ids"] for r in others] == [ids("3 5\n") + s for s in seen for _ in range(2)]
    for request, position in zip(others, (2, 2, 4, 4), strict=True):
        params = request["sampling_params"]
        asked = EditRequest.from_extra_args(params["extra_args"])
        assert (asked.budget, asked.context) == (0, context)
        assert (params["max_tokens"], params["logprobs"]) == (32 - position, False)
    live = {2: ids("ab"), 4: []}
    found = output.extra_fields["backtrack_continuations"]
    assert found == {at: [prefix + trace] * 2 for at, prefix in live.items()}


@pytest.mark.parametrize(
    ("scored", "asked"),
    [
        (("halluc/countdown", None), 0),
        (("openai/gsm8k", None), 2),
        (("halluc/countdown", "judge.py"), 2),
    ],
)
def test_auto_samples_where_nothing_judges_states(verl_config, tokenizer, ids, scored, asked):
    """Rows of a source with a prefix verifier are left to it, unless a function of the user's scores all."""
    source, function = scored
    verl_config.halluc = {"values": {"source": "auto", "continuations": 1}}
    verl_config.reward.custom_reward_function.path = function
    complete(verl_config, from_config(verl_config))
    output, requests = run_all(verl_config, tokenizer, sampled(ids("ab!!3$")), data_source=source)
    assert len(requests) == 1 + asked
    assert ("backtrack_continuations" in output.extra_fields) == bool(asked)


def test_samples_after_steps_if_they_are_paid(verl_config, tokenizer, ids):
    """With process in the reward, states after steps are sampled from; the last step is the answer."""
    verl_config.halluc = {
        "values": {"source": "continuations", "continuations": 1},
        "reward": {"weights": {"process": 1.0}},
    }
    complete(verl_config, from_config(verl_config))
    output, _ = run_all(verl_config, tokenizer, sampled(ids("a\nb\nc\n$")))
    assert list(output.extra_fields["backtrack_continuations"]) == [2, 4]


def test_a_component_of_ones_own_that_reads_steps_has_them(verl_config, tokenizer, ids, monkeypatch):
    """It says that it reads steps, and states after steps are sampled from as for ``process``."""
    lowest = lambda answer, _: min(answer.steps)  # noqa: E731
    mine = registry.Component("mine", lowest, reads_values=True, reads_steps=True)
    monkeypatch.setitem(registry.COMPONENTS, "mine", mine)
    verl_config.halluc = {
        "values": {"source": "continuations", "continuations": 1},
        "reward": {"weights": {"mine": 1.0}},
    }
    complete(verl_config, from_config(verl_config))
    output, _ = run_all(verl_config, tokenizer, sampled(ids("a\nb\nc\n$")))
    assert list(output.extra_fields["backtrack_continuations"]) == [2, 4]


def test_a_greedy_continuation_is_drawn_once(verl_config, tokenizer, ids):
    """More of them would be the same."""
    verl_config.halluc = {"values": {"source": "continuations", "continuations": 3}}
    complete(verl_config, from_config(verl_config))
    output, requests = run_all(verl_config, tokenizer, sampled(ids("a!3$")), {"temperature": 0.0})
    assert len(requests) == 3
    assert [len(a) for a in output.extra_fields["backtrack_continuations"].values()] == [1, 1]


def test_under_full_determinism_every_sample_has_its_seed(verl_config, tokenizer, ids):
    """Two answers, each with two continuations of two states, are ten samples; drawn again, the same."""
    verl_config.halluc = {"values": {"source": "continuations", "continuations": 2}}
    complete(verl_config, from_config(verl_config))
    verl_config.actor_rollout_ref.rollout.full_determinism = True

    def seeds(session):
        _, requests = run_all(verl_config, tokenizer, sampled(ids("a!3$")), session=session)
        return [request["sampling_params"]["seed"] for request in requests]

    assert len({*seeds(0), *seeds(1)}) == 10
    assert seeds(0) == seeds(0)


def test_a_state_at_the_limit_is_its_own_continuation(verl_config, tokenizer, ids):
    """Where no action is left, nothing is asked for."""
    verl_config.halluc = {"values": {"source": "continuations", "continuations": 1}}
    complete(verl_config, from_config(verl_config))
    output, requests = run_all(verl_config, tokenizer, sampled(ids("3" * 31 + "!")))
    assert len(requests) == 2
    assert output.extra_fields["backtrack_continuations"][32] == [ids("3" * 30)]


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


def put_row(monkeypatch, output, reward_score):
    """What verl's worker puts into the queue for an answer, and what it sent to be scored; None: later."""
    sent, put = [], []

    async def compute_score(data):
        sent.append(dict(data.non_tensor_batch["tool_extra_fields"][-1]))
        return {"reward_score": reward_score, "reward_extra_info": {"moves": "[[0.25, 0.5]]"}}

    async def async_kv_batch_put(*, keys, fields, tags, partition_id):
        put.append(fields)

    monkeypatch.setattr(agent_loop_tq, "tq", SimpleNamespace(async_kv_batch_put=async_kv_batch_put))
    worker = object.__new__(agent_loop_tq.AgentLoopWorkerTQ.__ray_metadata__.modified_class)
    worker.processor, worker.distillation_enabled, worker.mm_processor_kwargs = None, False, None
    remote = SimpleNamespace(compute_score=SimpleNamespace(remote=compute_score))
    worker.reward_loop_worker_handles = None if reward_score is None else [remote]
    row = {"uid": "u", "session_id": 0, "global_steps": 3, "raw_prompt": PROMPT}
    asyncio.run(worker._agent_loop_postprocess(output, validate=False, **row))
    return put[0], sent


def with_continuations(states=10, each=4, length=800):
    """An answer of as many tokens with continuations from states on its way."""
    answer = [7] * length
    return BacktrackOutput(
        prompt_ids=[1, 2], response_ids=answer, response_mask=[1] * length, num_turns=2,
        metrics=AgentLoopMetrics(), erased=[0] * length, event=[-1] * length, budget=None,
        extra_fields={
            "min_global_steps": 3, "max_global_steps": 3, "backtrack": {"truncated": 0},
            "backtrack_continuations": {
                at: [[100_000 + 10 * at + i] * length for i in range(each)] for at in range(states)
            },
        },
    )  # fmt: skip


def test_rows_keep_values_not_continuations(monkeypatch):
    """What was sampled to value states is scored, and then is no part of the row."""
    fields, (sent,) = put_row(monkeypatch, with_continuations(), 1.0)
    assert sent["backtrack_continuations"][9][3] == [100_093] * 800
    (extra,) = fields["extra_fields"]
    assert "backtrack_continuations" not in extra
    assert extra["reward_extra_info"]["moves"] == "[[0.25, 0.5]]"
    assert extra["backtrack"] == {"truncated": 0}
    with_none, _ = put_row(monkeypatch, with_continuations(states=0), 1.0)
    size = len(pickle.dumps(fields))
    assert size < len(pickle.dumps(with_none)) + 100
    assert size + 32_000 * 4 < len(pickle.dumps((fields, sent)))


def test_rows_that_are_scored_later_keep_continuations_small(monkeypatch):
    """Where no reward worker is asked at once, they travel as arrays of four bytes an id."""
    fields, sent = put_row(monkeypatch, with_continuations(), None)
    assert not sent
    (extra,) = fields["extra_fields"]
    found = extra["backtrack_continuations"]
    assert [ids.tolist() for ids in found[2]] == [[100_020 + i] * 800 for i in range(4)]
    assert {ids.dtype.name for answers in found.values() for ids in answers} == {"int32"}
    assert sum(ids.nbytes for answers in found.values() for ids in answers) == 32_000 * 4
