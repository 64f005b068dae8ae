"""The trainer tells every tracker how the model backtracks."""

import pytest
import torch

from halluc_plugin.rewards import COMPONENTS
from halluc_plugin.rl.step_metrics import rollout_metrics
from tests.verl_ext.step_queue import finished_step, info, queue

__all__ = ["finished_step", "queue"]  # fixtures

VALUED = {"backtrack", "process", "process_min", "score_bonus"}
"""Components that read values of states."""


def test_metrics_by_hand():
    """Means over answers; efficiency and masked share over tokens."""
    none = {"num_backtracks": 0.0, "num_events": 0.0, "num_erased": 0.0, "backtracked": 0.0}
    plain = info(**none, raw_length=30.0, resolved_length=30.0, acc=0.0, outcome=0.0)
    masks = [torch.tensor([0, 0, 1, 1, 1, 1, 1, 1, 1, 1]), torch.ones(30)]
    metrics = rollout_metrics([info(), plain], masks)
    assert metrics["backtrack/rate"] == 0.5
    assert metrics["backtrack/per_answer"] == 1.0
    assert metrics["backtrack/acc"] == 0.5
    assert metrics["backtrack/token_efficiency"] == pytest.approx(36 / 40)
    assert metrics["backtrack/masked_share"] == pytest.approx(2 / 40)
    assert metrics["backtrack/reward/backtrack"] == 0.5
    assert metrics["backtrack/reward/outcome"] == 0.5
    assert all(key.startswith("backtrack/") for key in metrics)


@pytest.mark.parametrize(
    ("unjudged", "left_out"),
    [
        ({}, set()),
        ({"steps": "null"}, {"process", "process_min"}),
        ({"moves": "null", "steps": "null"}, VALUED),
    ],
)
def test_values_that_nobody_gave_are_no_zeros(unjudged, left_out):
    """Where the states of one answer are not judged, no mean of what reads their values is logged."""
    metrics = rollout_metrics([info(), info(**unjudged)], [torch.ones(10)] * 2)
    logged = {name.split("/")[2] for name in metrics if name.startswith("backtrack/reward/")}
    assert logged == set(COMPONENTS) - left_out


def test_other_reward_managers_have_no_such_metrics():
    """Answers scored by somebody else carry no counts; nothing is made up."""
    assert rollout_metrics([{"acc": 1.0}], [torch.ones(3)]) == {}
    assert rollout_metrics([], []) == {}


def test_metrics_leave_padding_rows_out(finished_step):
    """Rows that verl adds to fill a batch are not answers."""
    metrics = finished_step()
    assert "backtrack/stage" not in metrics
    assert metrics["backtrack/per_answer"] == 2.0
    assert metrics["backtrack/masked_share"] == pytest.approx(0.25)
    assert metrics["backtrack/degenerate/groups"] == 0  # one answer alone keeps its reward
    assert "backtrack/degenerate/format" not in metrics  # it has no weight


@pytest.mark.parametrize(
    ("estimator", "logged"),
    [("grpo", {"groups", "outcome"}), ("rloo", {"groups", "outcome"}), ("grpo_passk", {"groups"})],
)
def test_influence_is_that_of_the_estimator(finished_step, fp32_config, estimator, logged):
    """Of one that is more than a baseline and a deviation, only groups without contrast are known."""
    fp32_config.algorithm.adv_estimator = estimator
    metrics = finished_step()
    assert {name.split("/")[2] for name in metrics if name.startswith("backtrack/degenerate/")} == logged


def test_a_rescaling_counts_where_no_deviation_divides(queue):
    """N-MARS's 2 and -2 are four times the outcome: nothing to GRPO, larger advantages to RLOO."""
    right, wrong = {"n_mars": 2.0}, {"outcome": 0.0, "n_mars": -2.0}
    batch = queue.fill(
        keys=["u_0_0", "u_1_0", "fill"],
        responses=["12", "12", "0"],
        masks=[[1.0, 1.0], [1.0, 1.0], [0.0]],
        advantages=[[0.0, 0.0], [0.0, 0.0], [0.0]],
        scores=[3.0, -2.0, 0.0],
        infos=[info(**right, moves="[]"), info(**wrong, moves="[]"), info(moves="[]")],
    )
    trainer = queue.trainer(reward={"weights": {"outcome": 1.0, "n_mars": 1.0}})

    def unmoved(estimator):
        trainer.config.algorithm.adv_estimator = estimator
        metrics = {}
        trainer._compute_metrics(batch, metrics, {}, global_steps=3, epoch=0)
        return metrics["backtrack/degenerate/n_mars"]

    assert (unmoved("backtrack_grpo"), unmoved("rloo")) == (1.0, 0.0)


def test_some_answers_are_judged_state_by_state(finished_step):
    """The verifier's precision, recall and aim: "12" is no start of 1+2=3, "1" is; "13" is none again."""
    metrics = finished_step()
    assert metrics["backtrack/judged"] == 1
    assert metrics["backtrack/event_precision"] == 1
    assert metrics["backtrack/event_recall"] == 0.5
    assert metrics["backtrack/localisation/exact"] == 1
    assert metrics["backtrack/good_tokens_erased"] == 0
    assert metrics["backtrack/stutter_rate"] == 0
    assert "backtrack/judged" not in finished_step(metrics={"judged_per_step": 0})


def test_the_stage_is_logged(finished_step):
    """Of a curriculum: number and budget of the step's stage; the fixture is at step 3."""
    curriculum = [{"steps": 2, "max_backtracks": 1}, {"steps": 5, "max_backtracks": 4}, {}]
    metrics = finished_step(curriculum=curriculum)
    assert (metrics["backtrack/stage"], metrics["backtrack/budget"]) == (1, 4)
    unlimited = finished_step(curriculum=[{"steps": 1, "max_backtracks": 0}, {}])
    assert unlimited["backtrack/stage"] == 1
    assert "backtrack/budget" not in unlimited


def test_correction_needs_continuations():
    """Δ(i→c) and Δ(c→i) compare with what was sampled without edits; expectations over the samples."""
    assert "backtrack/to_correct" not in rollout_metrics([info()], [torch.ones(3)])
    infos = [info(acc_without_edits=0.25), info(acc_without_edits=1.0, acc=0.0)]
    metrics = rollout_metrics(infos, [torch.ones(3)] * 2)
    assert metrics["backtrack/acc_without_edits"] == 0.625
    assert (metrics["backtrack/to_correct"], metrics["backtrack/to_incorrect"]) == (0.375, 0.5)
