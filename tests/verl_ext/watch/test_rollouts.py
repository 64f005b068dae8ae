"""A run does not go on without its answers, nor wait for ever for those that will not come."""

from types import SimpleNamespace

import pytest
import ray
from omegaconf import OmegaConf
from verl.trainer.ppo.v1 import replay_buffer as verl_buffer

from halluc_plugin.errors import SettingsError
from halluc_plugin.settings import FailureSettings, load
from verl_ext.watch import rollouts
from verl_ext.watch.rollouts import FAILED_PROMPTS, RolloutError, watch_rollouts


class Queue:
    """The part of TransferQueue that the buffer reads; prompts take the given statuses, one list a look."""

    def __init__(self, looks, partition="train"):
        self.looks, self.partition = list(looks), partition
        self.clock = 0.0

    def kv_list(self):
        """The next look; the last one is what is seen from then on."""
        self.clock += 10.0
        statuses = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        items = {
            f"p{i}": {"is_prompt": True, "status": status, "global_steps": 3}
            for i, status in enumerate(statuses)
        }
        done = [i for i, status in enumerate(statuses) if status == "finished"]
        return {self.partition: items | {f"p{i}_0_0": {"status": "success"} for i in done}}

    def kv_clear(self, partition_id, keys):
        """What is taken out is not looked at again here."""


@pytest.fixture
def sample(monkeypatch):
    """Samples a batch of four from verl's own buffer, watched."""

    def run(queue, *, workers=(), buffer=None, **settings):
        monkeypatch.setattr(verl_buffer, "tq", queue)
        monkeypatch.setattr(rollouts, "tq", queue)
        monkeypatch.setattr(rollouts, "time", SimpleNamespace(monotonic=lambda: queue.clock))
        buffer = buffer or verl_buffer.ReplayBuffer("sync", OmegaConf.create({}), 8, "drop", {}, 0.0)
        watch_rollouts(buffer, FailureSettings(**settings), lambda: workers)
        return buffer.sample(3, queue.partition, 4)

    return run


def test_answers_that_come_are_handed_on(sample):
    """A step whose prompts are all answered, be it late, is what verl makes of it, and none has failed."""
    batch, metrics = sample(Queue([["running"] * 4, ["finished", "running"] * 2, ["finished"] * 4]))
    assert sorted(batch.keys) == ["p0_0_0", "p1_0_0", "p2_0_0", "p3_0_0"]
    assert metrics == {FAILED_PROMPTS: 0}


@pytest.mark.parametrize(("partition", "named"), [("train", "step 3"), ("val", "the validation of step 3")])
def test_a_failed_answer_stops_the_run(sample, partition, named):
    """One prompt of four whose rollout or reward raised is named at once, in training and in validation."""
    queue = Queue([["failure", *["running"] * 3]], partition)
    with pytest.raises(RolloutError, match=rf"1 of 4 prompts of {named} failed.*Error in _run_prompt"):
        sample(queue)


def test_failures_can_be_tolerated(sample):
    """Up to the share that is given the step goes on without them and counts them; one more stops it."""
    batch, metrics = sample(Queue([["failure", *["finished"] * 3]]), tolerated=0.25)
    assert sorted(batch.keys) == ["p1_0_0", "p2_0_0", "p3_0_0"]
    assert metrics == {FAILED_PROMPTS: 1}
    with pytest.raises(RolloutError, match="2 of 4"):
        sample(Queue([["failure", "failure", "finished", "finished"]]), tolerated=0.25)


def test_failures_that_were_replaced_count(sample):
    """Of one wait all are counted, also those that are gone from the queue at the next look."""
    looks = [["failure", *["running"] * 3], ["finished", "failure", "running", "running"], ["finished"] * 4]
    with pytest.raises(RolloutError, match="2 of 4"):
        sample(Queue(looks), tolerated=0.25)
    _, metrics = sample(Queue(looks), tolerated=0.5)
    assert metrics == {FAILED_PROMPTS: 2}


def test_a_sampler_that_cannot_be_watched_is_refused(sample):
    """One that looks at the queue in a way of its own would have its failures passed over."""

    class Own(verl_buffer.ReplayBuffer):
        def sample(self, global_steps, partition_id, batch_size):
            return "batch", {}

    with pytest.raises(SettingsError, match="Own is a sampler that cannot be watched"):
        sample(Queue([[]]), buffer=Own("sync", OmegaConf.create({}), 8, "drop", {}, 0.0))


def test_a_rollout_that_never_ends_stops_the_run(sample):
    """Ten seconds a look: after more than 35 without anything new the run stops, and says how far it is."""
    with pytest.raises(RolloutError, match=r"No answer has come for 40 seconds.* 1 are done and 3 are"):
        sample(Queue([["finished", *["running"] * 3]]), stalled_after=35)


def test_slow_answers_are_waited_for(sample):
    """The limit counts from the last answer that came, not from the beginning."""
    looks = [["finished"] * done + ["running"] * (4 - done) for done in (0, 0, 1, 1, 2, 2, 3, 3, 4)]
    batch, _ = sample(Queue(looks), stalled_after=15)
    assert len(batch.keys) == 4


class Worker:
    """An actor's handle: it answers until it is dead."""

    def __init__(self, answers):
        self.answers = list(answers)
        self.__ray_ready__ = SimpleNamespace(remote=lambda: self)

    def get(self):
        """The next answer."""
        if (answer := self.answers.pop(0)) is not None:
            raise answer


def test_a_dead_worker_stops_the_run(sample, monkeypatch):
    """Its prompts would stay "running" for ever; one that is busy, or out of reach, is asked again."""
    monkeypatch.setattr(rollouts.ray, "wait", lambda refs, timeout: ([r for r in refs if r.answers], []))
    monkeypatch.setattr(rollouts.ray, "get", lambda ref: ref.get())
    away = ray.exceptions.ActorUnavailableError("no connection", b"0" * 16)
    busy, dying = Worker([]), Worker([None, away, ray.exceptions.ActorDiedError()])
    with pytest.raises(RolloutError, match=r"worker that samples answers died in step 3"):
        sample(Queue([["running"] * 4]), workers=[busy, dying])
    assert dying.answers == []


def test_a_sampler_is_watched_once_for_each_call(sample):
    """After an error the sampler's own look is back: the next call is checked by a watch of its own."""
    buffer = verl_buffer.ReplayBuffer("sync", OmegaConf.create({}), 8, "drop", {}, 0.0)
    look = buffer._sync_metadata_from_transfer_queue
    with pytest.raises(RolloutError):
        sample(Queue([["failure"] * 4]), buffer=buffer)
    assert buffer._sync_metadata_from_transfer_queue == look


@pytest.mark.parametrize(
    ("block", "named"),
    [({"tolerated": 1.0}, "share from 0 to below 1"), ({"stalled_after": 0}, "seconds, above 0")],
)
def test_limits_out_of_range_are_refused(block, named):
    """A share of one would train on nothing, and no time at all would stop every run."""
    with pytest.raises(SettingsError, match=named):
        load({"failures": block})
