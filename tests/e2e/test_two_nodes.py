"""The recipe on a Ray cluster of two nodes, simulated on one machine: an actor and an engine on each."""

import pytest

from halluc_plugin.trace_log import logged_steps, read_step

STEPS = 2
PER_STEP = 4
"""Answers of a step that the recipe logs."""


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
def test_two_nodes_train_the_recipe(address, new_run):
    """Two shards of the actor and two engines stay one policy, and leave a checkpoint of both shards.

    One process logs answers, those of both nodes: each step has one file, and no answer is there twice.
    """
    run = new_run("halluc_grpo")
    run.start(
        "trainer.nnodes=2",
        f"trainer.total_training_steps={STEPS}",
        f"+ray_kwargs.ray_init.address={address}",
        # A cluster that is there has its resources already.
        "~ray_kwargs.ray_init.num_cpus",
        "~ray_kwargs.ray_init.num_gpus",
        "~ray_kwargs.ray_init.include_dashboard",
        "~ray_kwargs.ray_init.object_store_memory",
    )
    steps = run.metrics()
    for step in range(1, STEPS + 1):
        assert steps[step]["backtrack/engine_drift_max"] < 1e-4
        assert steps[step]["backtrack/failed_prompts"] == 0
    saved = run.checkpoints / f"global_step_{STEPS}" / "actor"
    shards = {file.name for file in saved.glob("model_world_size_*")}
    assert shards == {f"model_world_size_2_rank_{rank}.pt" for rank in (0, 1)}
    logged = logged_steps(run.checkpoints)
    assert list(logged) == list(range(1, STEPS + 1))
    answers = [trace.answer for path in logged.values() for trace in read_step(path)]
    assert len(answers) == len(set(answers)) == STEPS * PER_STEP
