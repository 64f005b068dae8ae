"""The trainer tells every tracker how the model backtracks, pays single actions, and keeps some answers."""

from types import SimpleNamespace

import pytest
import torch
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from halluc_plugin.errors import DataError, TraceError
from halluc_plugin.rewards import COMPONENTS
from halluc_plugin.rl.step_metrics import rollout_metrics
from halluc_plugin.trace_log import logged_steps, read_step
from verl_ext import trainer as trainer_module
from verl_ext.run_settings import complete, from_config
from verl_ext.trainer import BacktrackTrainer

VALUED = {"backtrack", "process", "score_bonus"}
"""Components that read values of states."""


def nested(rows):
    """A jagged tensor of float rows."""
    return torch.nested.as_nested_tensor([torch.tensor(r) for r in rows], layout=torch.jagged)


def info(**changed):
    """One answer's reward_extra_info."""
    parts = {
        "outcome": 1.0,
        "format": 1.0,
        "backtrack": 0.5,
        "process": 0.5,
        "n_mars": 2.0,
        "score_bonus": 1.0,
    }
    verdicts = {"acc": 1.0, "acc_raw": 0.0, "truncated": 0.0}
    edits = {
        "num_backtracks": 2.0,
        "num_events": 1.0,
        "num_noops": 0.0,
        "num_erased": 2.0,
        "backtracked": 1.0,
    }
    lengths = {"raw_length": 10.0, "resolved_length": 6.0, "token_efficiency": 0.6}
    values = {"moves": "[]", "steps": "[]"}
    return {**parts, **verdicts, **edits, **lengths, **values, **changed}


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
    [({}, set()), ({"steps": "null"}, {"process"}), ({"moves": "null", "steps": "null"}, VALUED)],
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


PROBLEM = {"ground_truth": {"numbers": [1, 2], "target": 3}}


@pytest.fixture
def queue(fp32_config, tokenizer, monkeypatch, tmp_path):
    """A trainer at step 3 around a fake queue; ``at(responses, **columns)`` fills the queue.

    The last row fills up the batch. What the trainer puts back is in ``queue.put``.
    """
    rows, put = {}, {}

    def fetch(keys, partition_id, select_fields):
        assert partition_id == "train"
        at = [rows["key"].index(key) for key in keys]
        return {
            name: nested([rows[name][i] for i in at])
            if isinstance(rows[name][0], list)
            else [rows[name][i] for i in at]
            for name in select_fields
        }

    def keep(keys, partition_id, fields):
        assert partition_id == "train"
        put.update({key: row.tolist() for key, row in zip(keys, fields["advantages"].unbind(), strict=True)})

    def initialise(self, config):
        self.config, self.tokenizer, self.global_steps = config, tokenizer, 3
        self.total_training_steps = 9
        self.replay_buffer = ReplayBuffer("sync", config, None, "drop", {})

    monkeypatch.setattr(PPOTrainerSync, "__init__", initialise)
    monkeypatch.setattr(PPOTrainerSync, "_compute_metrics", lambda *args, **kwargs: None)
    monkeypatch.setattr(PPOTrainerSync, "_compute_advantage", lambda self, batch, metrics: batch)
    monkeypatch.setattr(trainer_module.tq, "kv_batch_get", fetch)
    monkeypatch.setattr(trainer_module.tq, "kv_batch_put", keep)
    fp32_config.trainer.default_local_dir = str(tmp_path)

    def fill(*, keys, responses, masks, advantages, scores, infos):
        ids = [tokenizer.encode(text) for text in responses]
        rows.update(
            key=keys,
            prompts=[[5]] * len(keys),
            responses=ids,
            response_mask=masks,
            advantages=advantages,
            rm_scores=[[0.0] * (len(row) - 1) + [score] for row, score in zip(ids, scores, strict=True)],
            extra_fields=[{"reward_extra_info": row} for row in infos],
            old_log_probs=[[-0.5] * len(row) for row in ids],
            entropy=[[1.0] * len(row) for row in ids],
            backtrack_edit_probs=[[0.0] * (1 + len(row)) for row in ids],
            data_source=["halluc/countdown"] * len(keys),
            reward_model=[PROBLEM] * len(keys),
        )
        tags = [{}] * (len(keys) - 1) + [{"is_padding": True}]
        return SimpleNamespace(keys=keys, partition_id="train", tags=tags)

    def trainer(**halluc):
        fp32_config.halluc = halluc
        complete(fp32_config, from_config(fp32_config))
        return BacktrackTrainer(fp32_config)

    return SimpleNamespace(fill=fill, trainer=trainer, put=put)


@pytest.fixture
def finished_step(queue):
    """The end of a step with one answer, ``1 2 <back> 3``, and a row that fills up the batch."""
    batch = queue.fill(
        keys=["a", "b"],
        responses=["12<|BACKTRACK|>3", "0"],
        masks=[[1.0, 0.0, 1.0, 1.0], [0.0]],
        advantages=[[0.5, 0.0, 0.5, 0.5], [0.0]],
        scores=[1.0, 0.0],
        infos=[info(moves="[[0.0, 1.0]]"), info(num_backtracks=99.0, moves="[]")],
    )

    def run(**halluc):
        metrics = {}
        queue.trainer(**halluc)._compute_metrics(batch, metrics, {}, global_steps=3, epoch=0)
        return metrics

    return run


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


@pytest.fixture
def credited(queue):
    """The advantages of two answers to one prompt, ``1 2 <back> 3`` (right) and ``1 2`` (wrong)."""

    def run(mask=1.0, moves="[[0.0, 1.0]]", scores=(1.0, 0.0, 0.0), **halluc):
        batch = queue.fill(
            keys=["u_0_0", "u_1_0", "fill"],
            responses=["12<|BACKTRACK|>3", "12", "0"],
            masks=[[1.0, mask, 1.0, 1.0], [1.0, 1.0], [0.0]],
            advantages=[[0.5, 0.5 * mask, 0.5, 0.5], [-0.5, -0.5], [0.0]],
            scores=scores,
            infos=[info(moves=moves), info(moves="[]"), info(moves="null")],
        )
        metrics = {}
        assert queue.trainer(**halluc)._compute_advantage(batch, metrics) is batch
        return queue.put, metrics

    return run


def test_the_estimators_advantages_stay_by_default(credited):
    """Nothing is written, nothing fetched."""
    assert credited() == ({}, {})


@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_stops_the_step(credited, reward):
    """Before any estimator sees it, whichever is selected; what fills up the batch is not looked at."""
    with pytest.raises(TraceError, match="1 of 2 rewards are no finite numbers"):
        credited(scores=(1.0, reward, 0.0))
    assert credited(scores=(1.0, 0.0, reward)) == ({}, {})


def test_edits_are_paid_their_gain(credited):
    """Alpha times the judged gain, on the edit, beside the answer's advantage; filling rows are left out."""
    put, metrics = credited(mask=0.0, credit={"alpha": 0.25})
    assert put == {"u_0_0": [0.5, 0.0, 0.75, 0.5], "u_1_0": [-0.5, -0.5]}
    assert metrics == {"backtrack/event_gain": 1.0, "backtrack/degenerate/credit": 0.0}


def test_edits_are_paid_by_the_group(credited):
    """Both answers passed "12", worth a half, and "1", worth a half: the event between them gains nothing."""
    put, metrics = credited(credit={"alpha": 0.25, "values": "prefix_tree"})
    assert put["u_0_0"] == [0.5, 0.5, 0.5, 0.5]
    assert metrics == {"backtrack/event_gain": 0.0, "backtrack/degenerate/credit": 1.0}


def test_erased_tokens_are_turned_against(credited):
    """erased_tokens=negative: what was taken back loses what the answer gained."""
    put, metrics = credited(erased_tokens="negative")
    assert put == {"u_0_0": [0.5, -0.5, 0.5, 0.5], "u_1_0": [-0.5, -0.5]}
    assert metrics == {}


def test_credit_needs_values(credited):
    """An answer whose states nobody judged stops the run, with three ways out."""
    with pytest.raises(DataError, match=r"answer u_0_0.*values\.source=continuations.*prefix_tree"):
        credited(moves="null", credit={"alpha": 0.25})


def test_answers_are_logged(finished_step, tmp_path):
    """At most so many as asked, padding never, with what they earned and the advantage of each action."""
    finished_step()
    (trace,) = read_step(logged_steps(tmp_path)[3])
    assert (trace.answer, trace.reward, trace.scores["acc"]) == ("a", 1.0, 1.0)
    assert trace.tokens == ["1", "2", "<|BACKTRACK|>", "3"]
    assert trace.response_mask == [1, 0, 1, 1]
    assert trace.advantages == [0.5, 0.0, 0.5, 0.5]


def test_a_scorers_own_words_do_not_end_a_run(queue, tmp_path):
    """Beside its score a user's function may return None, a list or a text: only numbers are logged."""
    batch = queue.fill(
        keys=["a", "b"],
        responses=["12", "0"],
        masks=[[1.0, 1.0], [0.0]],
        advantages=[[0.5, 0.5], [0.0]],
        scores=[1.0, 0.0],
        infos=[{"score": 1.0, "pred": None, "tried": ["1"], "why": "x", "right": True}, {}],
    )
    queue.trainer()._compute_metrics(batch, {}, {}, global_steps=3, epoch=0)
    (logged,) = read_step(logged_steps(tmp_path)[3])
    assert logged.scores == {"score": 1.0, "right": 1.0}


def test_logging_can_be_switched_off(finished_step, tmp_path):
    """Nothing is fetched and nothing written."""
    finished_step(trace_log={"per_step": 0})
    assert not (tmp_path / "traces").exists()


@pytest.fixture
def first_answers(queue):
    """Answers of which half end a step in a dead end and half in live text, and none takes anything back."""
    half = ("12\n3", "1+2=3\n3")

    def at(step, texts=half * 100, **halluc):
        batch = queue.fill(
            keys=[*(f"u_{number}_0" for number in range(len(texts))), "fill"],
            responses=[*texts, "0"],
            masks=[[1.0]] * (len(texts) + 1),
            advantages=[[0.0]] * (len(texts) + 1),
            scores=[0.0] * (len(texts) + 1),
            infos=[info(moves="[]")] * (len(texts) + 1),
        )
        trainer = queue.trainer(**halluc)
        trainer.global_steps = step
        trainer._compute_advantage(batch, {})

    return at


def test_a_blind_start_is_told_before_the_first_update(first_answers, caplog):
    """D of the first step's answers, with its cause and cure, before an advantage is made of them."""
    first_answers(1)
    (told,) = [record.getMessage() for record in caplog.records if "D = " in record.getMessage()]
    assert "probability 0.00 where the goal is out of reach (100 places) and 0.00" in told
    assert "halluc.credit.alpha=1" in told


@pytest.mark.parametrize(
    ("step", "asked"),
    [
        (2, {}),
        (1, {"max_backtracks": 0}),
        (1, {"metrics": {"judged_per_step": 0}}),
        (1, {"texts": ["12\n3", "1+2=3\n3"] * 5}),
        (1, {"texts": ["12\n<|BACKTRACK|>", "1+2=3\n3"] * 100}),
    ],
)
def test_other_starts_are_left_in_peace(first_answers, caplog, step, asked):
    """A later step, edits that are banned, answers that are not judged or too few, and D = 1."""
    first_answers(step, **asked)
    assert not [record for record in caplog.records if "D = " in record.getMessage()]
