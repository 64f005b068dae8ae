"""Answers sampled from states on the way: where, how many, with which seeds, and what rows keep of them."""

import asyncio
import pickle
from types import SimpleNamespace

import pytest
from verl.experimental.agent_loop.agent_loop import (
    AgentLoopMetrics,
)
from verl.trainer.ppo.v1 import agent_loop_tq

from halluc_plugin.edits import Context
from halluc_plugin.rewards import registry
from halluc_plugin.vllm_engine.request import EditRequest
from tests.verl_ext.loops.conftest import PROMPT, run_all, sampled
from verl_ext.loops.backtrack import BacktrackOutput
from verl_ext.run_settings import complete, from_config


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
