"""Whatever an answer raises ends the run with its cause, also under verl's own trainers."""

import asyncio
from types import SimpleNamespace

import pytest
import ray
from verl.experimental.agent_loop.agent_loop import AgentLoopWorker
from verl.trainer.ppo.v1 import replay_buffer as verl_buffer
from verl.trainer.ppo.v1.trainer_base import PPOTrainer, get_trainer_cls

from halluc_plugin.errors import DataError, SettingsError
from verl_ext.watch import failed_answers, rollouts
from verl_ext.watch.failed_answers import CAUSE, cause_of, first_cause
from verl_ext.watch.rollouts import RolloutError


class Loop:
    """An agent loop that raises."""

    def __init__(self, error, **_):
        self.error = error

    async def run(self, sampling_params, **kwargs):
        """Nothing but the error."""
        raise self.error


@pytest.fixture
def answer(monkeypatch, verl_config):
    """One answer through verl's worker, whose loop raises; returns what the queue was told."""

    def run(error, *, config=verl_config, **trajectory):
        told = []

        async def kv_put(**given):
            told.append(given)

        monkeypatch.setattr("transfer_queue.async_kv_put", kv_put)
        monkeypatch.setattr("hydra.utils.instantiate", lambda config, **_: Loop(error))
        worker = object.__new__(AgentLoopWorker)
        worker.config, worker.llm_client, worker.tokenizer, worker.processor = config, None, None, None
        worker.hf_model_type, worker.dataset_cls, worker.tools = "qwen2", None, []
        trajectory = {"step": 1, "sample_index": 0, "rollout_n": 0, "validate": False, **trajectory}
        call = worker._run_agent_loop({}, trajectory, agent_name="backtrack", trace=False, uid="p7")
        with pytest.raises(type(error)):
            asyncio.run(call)
        return told

    return run


@pytest.mark.parametrize(("validate", "partition"), [(False, "train"), (True, "val")])
def test_the_cause_reaches_the_queue(answer, validate, partition):
    """It is a tag of the prompt, beside verl's own, where the prompt is; the error goes on as it was."""
    told = answer(DataError("No scorer.", "Give one."), validate=validate)
    assert told == [{"key": "p7", "partition_id": partition, "tag": {CAUSE: "No scorer. Fix: Give one."}}]


def test_a_run_of_verls_own_tells_nothing(answer, verl_config):
    """Without any part of ours the queue holds what verl puts there."""
    del verl_config["halluc"]
    verl_config.actor_rollout_ref.rollout.agent.default_agent_loop = "single_turn_agent"
    verl_config.reward.reward_manager.name = "naive"
    assert answer(ValueError("theirs"), config=verl_config) == []


def test_causes_are_read_through_ray():
    """The error of a reward worker arrives wrapped; what counts is what it raised, in one line of its own."""
    inner = ValueError("no\n  number")
    wrapped = ray.exceptions.RayTaskError("f", "a long traceback", inner).as_instanceof_cause()
    assert cause_of(wrapped) == "ValueError: no number."
    assert cause_of(SettingsError("Wrong.", "Mend it.")) == "Wrong. Fix: Mend it."
    assert len(cause_of(ValueError("x" * 10_000))) == failed_answers.LONGEST + 1


def test_only_the_causes_of_failed_prompts_count():
    """Prompts of another wait, and tags of answers, are not asked."""
    queue = {"p1": {"status": "failure"}, "p2": {CAUSE: "theirs"}, "p3": {"status": "failure", CAUSE: "ours"}}
    assert first_cause(queue, {"p1", "p3"}) == "ours"
    assert first_cause(queue, {"p1"}) is None
    assert first_cause(None, {"p1"}) is None


@pytest.mark.parametrize("mode", ["sync", "colocate_async", "backtrack_sync"])
@pytest.mark.parametrize("ours", [True, False])
def test_every_trainer_of_verls_is_watched_where_a_part_is_ours(verl_config, monkeypatch, mode, ours):
    """A prompt that failed ends the run and names the cause; a run of verl's own goes on as ever."""
    if not ours:
        del verl_config["halluc"]
        verl_config.actor_rollout_ref.rollout.agent.default_agent_loop = "single_turn_agent"
        verl_config.reward.reward_manager.name = "naive"
    tags = {
        f"p{i}": {"is_prompt": True, "status": "finished" if i else "failure", "global_steps": 3}
        for i in range(4)
    }
    tags["p0"][CAUSE] = "No scorer. Fix: Give one."
    tags |= {f"p{i}_0_0": {"status": "success"} for i in range(1, 4)}
    cleared = []
    queue = SimpleNamespace(
        kv_list=lambda: {"train": tags}, kv_clear=lambda partition_id, keys: cleared.extend(keys)
    )
    for module in (verl_buffer, rollouts):
        monkeypatch.setattr(module, "tq", queue)
    trainer = object.__new__(get_trainer_cls(mode))
    trainer.config = verl_config
    trainer.trainer_mode = mode
    assert isinstance(trainer, PPOTrainer)
    buffer = trainer._build_replay_buffer()
    buffer.refill_fn = lambda count: (
        tags.pop("p0")
        and [
            tags.update(
                {
                    "p4": {"is_prompt": True, "status": "finished", "global_steps": 3},
                    "p4_0_0": {"status": "success"},
                }
            )
        ]
    )
    if ours:
        with pytest.raises(
            RolloutError, match=r"1 of 4 prompts of step 3 failed .*: No scorer. Fix: Give one."
        ):
            buffer.sample(3, "train", 4)
    else:
        batch, _ = buffer.sample(3, "train", 4)
        assert len(batch.keys) in {3, 4}  # verl trains on without it, or samples another


def test_tolerated_failures_are_of_every_trainer(verl_config):
    """The setting is read wherever a part is ours, so it is refused nowhere."""
    from verl_ext.preflight.parts import require_our_parts, require_tolerance
    from verl_ext.run_settings import from_config

    verl_config.halluc = {"failures": {"tolerated": 0.5}}
    verl_config.trainer.v1.trainer_mode = "sync"
    require_our_parts(verl_config, from_config(verl_config))
    verl_config.halluc = {}
    verl_config.trainer.v1.sampler.sync_refill_failed_groups = True
    with pytest.raises(SettingsError, match=r"halluc.failures.tolerated=0 the run stops"):
        require_tolerance(verl_config, from_config(verl_config))
