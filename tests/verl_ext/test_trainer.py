"""The trainer stops on stale weights, and is registered as verl's synchronous one."""

from types import SimpleNamespace

import pytest
import torch
from tensordict import TensorDict
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_base import get_trainer_cls
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from halluc_plugin.errors import SettingsError
from halluc_plugin.rl.drift import PolicyDriftError, Precision
from verl_ext import trainer as trainer_module
from verl_ext.run_settings import from_config
from verl_ext.trainer import BacktrackTrainer, precision, why_incomparable


def nested(rows):
    """A jagged tensor of float rows."""
    return torch.nested.as_nested_tensor([torch.tensor(r) for r in rows], layout=torch.jagged)


@pytest.fixture
def step(fp32_config, monkeypatch):
    """Runs the guarded half of a step: the real trainer around a fake queue and a fake actor."""

    def run(engine_rows, actor_rows, *, mask_rows=None, config=fp32_config):
        data = TensorDict(
            {
                "rollout_log_probs": nested(engine_rows),
                "old_log_probs": nested(actor_rows),
                "response_mask": nested(mask_rows or [[1.0] * len(r) for r in engine_rows]),
            },
            batch_size=len(engine_rows),
        )

        def start(self, config):
            self.config = config
            self.replay_buffer = ReplayBuffer("sync", config, 8, "drop", {})

        monkeypatch.setattr(PPOTrainerSync, "__init__", start)
        monkeypatch.setattr(PPOTrainerSync, "_compute_old_log_prob", lambda self, batch, metrics: batch)
        monkeypatch.setattr(
            trainer_module.tq,
            "kv_batch_get",
            lambda keys, partition_id, select_fields: data.select(*select_fields),
        )
        metrics = {}
        batch = SimpleNamespace(keys=["u_0_0"], partition_id="train")
        assert BacktrackTrainer(config)._compute_old_log_prob(batch, metrics) is batch
        return metrics

    return run


def log_probs(seed, rows=40, width=16):
    """Plausible log-probs of rows of unequal length."""
    generator = torch.Generator().manual_seed(seed)
    return [(-torch.rand(width - i % 3, generator=generator) * 3).tolist() for i in range(rows)]


def test_agreement_is_logged(step):
    """A healthy step goes on, and its drift and correlation are metrics."""
    engine = log_probs(0)
    actor = [[x + 1e-6 for x in row] for row in engine]
    actor[3][2] += 1e-4
    metrics = step(engine, actor)
    tokens = sum(map(len, engine))
    assert metrics["backtrack/engine_drift"] == pytest.approx(1e-6 + 1e-4 / tokens, rel=0.2)
    assert metrics["backtrack/engine_drift_max"] == pytest.approx(1.01e-4, rel=0.01)
    assert metrics["backtrack/engine_correlation"] == pytest.approx(1.0)


def test_a_stale_engine_stops_the_run(step):
    """Log-probs of other weights end the run with the likely cause."""
    with pytest.raises(PolicyDriftError, match=r"stale after a sync .*lm_head"):
        step(log_probs(0), log_probs(1))


def test_masked_tokens_are_not_compared(step):
    """Only tokens that are trained on are judged: garbage under the mask stops nothing."""
    engine = log_probs(0)
    actor = [[-99.0, *row[1:]] for row in engine]
    mask = [[0.0, *[1.0] * (len(row) - 1)] for row in engine]
    assert step(engine, actor, mask_rows=mask)["backtrack/engine_drift"] == 0


def test_a_run_can_switch_the_guard_off(step, fp32_config):
    """guard.enabled=false stops nothing; how far engine and actor are apart is logged all the same."""
    fp32_config.halluc = {"guard": {"enabled": False}}
    assert step(log_probs(0), log_probs(1))["backtrack/engine_drift"] > 0.02


def test_truncated_sampling_switches_the_guard_off(step, fp32_config, caplog):
    """With top_p the two distributions differ by design; the run says so and goes on."""
    fp32_config.actor_rollout_ref.rollout.top_p = 0.9
    assert step(log_probs(0), log_probs(1)) == {}
    assert "guard against stale weights is off, because top_p=0.9" in caplog.text


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("top_k", 50, "top_k=50"),
        ("calculate_log_probs", False, "keeps no sampled log-probs"),
        ("logprobs_mode", "raw_logprobs", "not what was sampled from"),
    ],
)
def test_incomparable_runs(verl_config, field, value, named):
    """Settings under which a comparison means nothing are recognised; the defaults are not among them."""
    assert why_incomparable(verl_config) is None
    verl_config.actor_rollout_ref.rollout[field] = value
    assert named in why_incomparable(verl_config)


def test_bypass_mode_is_incomparable(verl_config):
    """Where the engine's log-probs are the actor's there is nothing to compare."""
    verl_config.algorithm.rollout_correction = {"bypass_mode": True}
    assert "bypass_mode" in why_incomparable(verl_config)


def test_precision_is_the_coarser(verl_config, fp32_config):
    """One side in bf16 makes the comparison a bf16 one; verl's defaults are bf16."""
    assert precision(fp32_config) is Precision.SINGLE
    fp32_config.actor_rollout_ref.rollout.dtype = "bfloat16"
    assert precision(fp32_config) is Precision.HALF
    fp32_config.actor_rollout_ref.rollout.dtype = "float32"
    fp32_config.actor_rollout_ref.actor.fsdp_config.mixed_precision = None
    assert precision(fp32_config) is Precision.HALF


def test_a_contradictory_config_stops_before_any_worker(verl_config):
    """The trainer checks the whole config before verl builds anything."""
    verl_config.halluc = {"max_backtracks": 2}
    assert from_config(verl_config).bans_edits
    with pytest.raises(SettingsError, match="without regard to it"):
        BacktrackTrainer(verl_config)


def test_registered_and_taken_for_sync():
    """The trainer is found under our name, and answers for the synchronous one."""
    assert get_trainer_cls("backtrack_sync") is BacktrackTrainer
    trainer = BacktrackTrainer.__new__(BacktrackTrainer)
    trainer.trainer_mode = "backtrack_sync"
    assert trainer.trainer_mode == "sync"
