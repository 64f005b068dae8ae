"""The recipe on a Ray cluster of two nodes, simulated on one machine: an actor and an engine on each."""

import json
import os
import subprocess
import sys

import pytest

STEPS = 2


@pytest.fixture
def address():
    """A cluster of two nodes with logical resources, without a driver."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 8, "num_gpus": 1, "object_store_memory": 300_000_000}
    cluster = Cluster(initialize_head=True, connect=False, head_node_args=node)
    cluster.add_node(**node)
    yield cluster.address
    cluster.shutdown()


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_nodes_train_the_recipe(address, tmp_path):
    """Two shards of the actor and two engines stay one policy, and leave a checkpoint of both shards."""
    overrides = (
        "halluc.prepare.train_problems=60",
        "halluc.prepare.test_problems=8",
        "halluc.prepare.warm_start_steps=40",
        "data.train_batch_size=8",
        "actor_rollout_ref.actor.ppo_mini_batch_size=4",
        "actor_rollout_ref.rollout.n=4",
        "trainer.nnodes=2",
        f"trainer.total_training_steps={STEPS}",
        f"trainer.save_freq={STEPS}",
        f"+ray_kwargs.ray_init.address={address}",
        # A cluster that is there has its resources already.
        "~ray_kwargs.ray_init.num_cpus",
        "~ray_kwargs.ray_init.num_gpus",
        "~ray_kwargs.ray_init.include_dashboard",
        "~ray_kwargs.ray_init.object_store_memory",
    )
    done = subprocess.run(
        [sys.executable, "-m", "verl.trainer.main_ppo", "+recipe=halluc_grpo", *overrides],
        cwd=tmp_path,
        env={**os.environ, "HALLUC_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
        timeout=1400,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    run = tmp_path / "checkpoints" / "halluc" / "halluc_grpo"
    (log,) = (run / "metrics").glob("*.jsonl")
    steps = {line["step"]: line["data"] for line in map(json.loads, log.read_text().splitlines())}
    for step in range(1, STEPS + 1):
        assert steps[step]["backtrack/engine_drift_max"] < 1e-4
        assert steps[step]["backtrack/failed_prompts"] == 0
    shards = {file.name for file in (run / f"global_step_{STEPS}" / "actor").glob("model_world_size_*")}
    assert shards == {f"model_world_size_2_rank_{rank}.pt" for rank in (0, 1)}
