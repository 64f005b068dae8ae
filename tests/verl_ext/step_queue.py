"""A trainer at the end of a step, around a fake queue."""

from types import SimpleNamespace

import pytest
import torch
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from verl_ext import trainer as trainer_module
from verl_ext.columns import TURNS
from verl_ext.run_settings import complete, from_config
from verl_ext.trainer import BacktrackTrainer


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
        "process_min": 0.0,
        "n_mars": 2.0,
        "score_bonus": 1.0,
        "length_cost": -0.01,
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
        self.replay_buffer = ReplayBuffer("sync", config, 8, "drop", {})

    monkeypatch.setattr(PPOTrainerSync, "__init__", initialise)
    monkeypatch.setattr(PPOTrainerSync, "_compute_metrics", lambda *args, **kwargs: None)
    monkeypatch.setattr(PPOTrainerSync, "_compute_advantage", lambda self, batch, metrics: batch)
    monkeypatch.setattr(trainer_module.tq, "kv_batch_get", fetch)
    monkeypatch.setattr(trainer_module.tq, "kv_batch_put", keep)
    fp32_config.trainer.default_local_dir = str(tmp_path)

    def fill(*, keys, responses, masks, advantages, scores, infos, turns=None, ref=0.0):
        ids = [tokenizer.encode(text) for text in responses]
        rows.update(
            key=keys,
            prompts=[[5]] * len(keys),
            responses=ids,
            response_mask=masks,
            advantages=advantages,
            rm_scores=[[0.0] * (len(row) - 1) + [score] for row, score in zip(ids, scores, strict=True)],
            extra_fields=[
                {"reward_extra_info": row, TURNS: at}
                for row, at in zip(infos, turns or [None] * len(infos), strict=True)
            ],
            ref_log_prob=[[ref] * len(row) for row in ids],
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

    def loop(name):
        fp32_config.actor_rollout_ref.rollout.agent.default_agent_loop = name

    return SimpleNamespace(fill=fill, trainer=trainer, put=put, loop=loop)


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
