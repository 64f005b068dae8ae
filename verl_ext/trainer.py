"""verl's synchronous trainer with the guard on, and our metrics in every tracker."""

import logging
import random
from functools import cached_property
from pathlib import Path
from typing import Any

import transfer_queue as tq
from omegaconf import DictConfig
from tensordict import TensorDict
from torch import Tensor
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from halluc_plugin.edits import EditVocab
from halluc_plugin.rewards import COMPONENTS
from halluc_plugin.rewards.influence import unchanged_groups
from halluc_plugin.tokens import edit_vocab
from halluc_plugin.trace_log import LoggedTrace, TraceLog, logged_trace
from verl_ext.compat import AnswersToSync
from verl_ext.guard import Precision, compare, stop_if_drifted
from verl_ext.run_settings import check, from_config

logger = logging.getLogger(__name__)

_LOGGED = ["prompts", "responses", "response_mask", "advantages", "rm_scores", "extra_fields"]


@register_trainer("backtrack_sync")
class BacktrackTrainer(AnswersToSync, PPOTrainerSync):
    """verl's ``sync`` trainer; it stops when engine and actor drift apart and logs ``backtrack/`` metrics.

    Raises:
        SettingsError: The ``halluc:`` block is wrong or contradicts verl's config.
    """

    def __init__(self, config: DictConfig) -> None:
        self._settings = from_config(config)
        check(config, self._settings)
        super().__init__(config)
        self._guarded = self._settings.guard.enabled
        reason = why_incomparable(config)
        if self._guarded and reason:
            logger.warning("halluc: the guard against stale weights is off, because %s.", reason)
            self._guarded = False
        keep = self._settings.trace_log
        self._trace_log = TraceLog(Path(config.trainer.default_local_dir), keep.max_megabytes)

    def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        batch = super()._compute_old_log_prob(batch, metrics)
        if self._guarded:
            data = _fetch(batch, ["rollout_log_probs", "old_log_probs", "response_mask"]).to_padded_tensor()
            agreement = compare(data["rollout_log_probs"], data["old_log_probs"], data["response_mask"])
            if agreement is not None:
                metrics["backtrack/engine_drift"] = agreement.drift
                metrics["backtrack/engine_drift_max"] = agreement.largest
                metrics["backtrack/engine_correlation"] = agreement.correlation
            stop_if_drifted(agreement, precision(self.config), self._settings.guard)
        return batch

    def _compute_metrics(
        self, batch: KVBatchMeta, metrics: dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        super()._compute_metrics(batch, metrics, *args, **kwargs)
        real = [not tag.get("is_padding", False) for tag in batch.tags]
        keys = [key for key, keep in zip(batch.keys, real, strict=True) if keep]
        data = _fetch(batch, ["extra_fields", "response_mask"])
        infos = [
            fields.get("reward_extra_info", {})
            for fields, keep in zip(data["extra_fields"], real, strict=True)
            if keep
        ]
        masks = [mask for mask, keep in zip(data["response_mask"].unbind(), real, strict=True) if keep]
        metrics.update(rollout_metrics(infos, masks))
        metrics.update(self._degeneracy(infos, keys))
        self._log_traces(batch, keys)

    def _degeneracy(self, infos: list[dict[str, float]], keys: list[str]) -> dict[str, float]:
        """Shares of groups that a component of the reward does not move; empty as ``rollout_metrics``."""
        if not all(COMPONENTS.keys() <= info.keys() for info in infos):
            return {}
        prompts = [key.rsplit("_", 2)[0] for key in keys]  # verl's keys: UID_SESSION_INDEX
        by_std = bool(self.config.algorithm.get("norm_adv_by_std_in_grpo", True))
        shares = unchanged_groups(infos, prompts, self._settings.reward, normalize_by_std=by_std)
        return {f"backtrack/degenerate/{name}": share for name, share in shares.items()}

    def _log_traces(self, batch: KVBatchMeta, keys: list[str]) -> None:
        """Keep a few of the step's answers, drawn by the step's number."""
        count = min(self._settings.trace_log.per_step, len(keys))
        if not count:
            return
        chosen = random.Random(self.global_steps).sample(sorted(keys), count)  # noqa: S311 - not for secrets
        data = tq.kv_batch_get(keys=chosen, partition_id=batch.partition_id, select_fields=_LOGGED)
        rows = zip(chosen, *(data[name].unbind() for name in _LOGGED[:-1]), data["extra_fields"], strict=True)
        self._trace_log.write(self.global_steps, [self._logged_trace(*row) for row in rows])

    def _logged_trace(self, key: str, *row: Any) -> LoggedTrace:
        prompt, response, mask, advantages, scores, fields = row
        return logged_trace(
            step=self.global_steps,
            answer=key,
            prompt=prompt.tolist(),
            response=response.tolist(),
            response_mask=mask.tolist(),
            advantages=advantages.tolist(),
            reward=float(scores.sum()),
            scores=fields.get("reward_extra_info", {}),
            tokenizer=self.tokenizer,
            vocab=self._vocab,
        )

    @cached_property
    def _vocab(self) -> EditVocab:
        # Once a run: with a step token, every token's text is looked at.
        return edit_vocab(self.tokenizer, step_delimiter=self._settings.tokens.step_delimiter)


def rollout_metrics(infos: list[dict[str, float]], masks: list[Tensor]) -> dict[str, float]:
    """What a step's rollouts say about backtracking.

    Args:
        infos: The reward manager's ``reward_extra_info`` of each answer.
        masks: Number[T] each: ``response_mask`` of each answer.

    Returns:
        Metrics under ``backtrack/``: means over answers (reward components under ``backtrack/reward/``), the
        token efficiency and the masked share as ratios of sums over tokens. Empty when another reward
        manager scored the answers.
    """
    infos = [info for info in infos if "num_backtracks" in info]
    if not infos:
        return {}
    mean = {key: sum(info[key] for info in infos) / len(infos) for key in infos[0]}
    counts = (
        "num_events",
        "num_noops",
        "num_erased",
        "raw_length",
        "resolved_length",
        "truncated",
        "acc",
        "acc_raw",
    )
    tokens = sum(mask.numel() for mask in masks)
    return {
        "backtrack/rate": mean["backtracked"],
        "backtrack/per_answer": mean["num_backtracks"],
        **{f"backtrack/{key}": mean[key] for key in counts},
        "backtrack/token_efficiency": mean["resolved_length"] / mean["raw_length"]
        if mean["raw_length"]
        else 1.0,
        "backtrack/masked_share": 1 - sum(float(mask.sum()) for mask in masks) / tokens if tokens else 0.0,
        **{f"backtrack/reward/{key}": mean[key] for key in COMPONENTS},
    }


def why_incomparable(config: DictConfig) -> str | None:
    """Why the engine's log-probs say nothing about the actor's weights in this run; None if they do.

    Args:
        config: verl's whole config.

    Returns:
        The reason as a clause, or None.
    """
    rollout = config.actor_rollout_ref.rollout
    if not rollout.calculate_log_probs:
        return "rollout.calculate_log_probs=false keeps no sampled log-probs"
    if rollout.top_p < 1 or rollout.top_k > 0:
        return f"top_p={rollout.top_p} and top_k={rollout.top_k} truncate what the engine samples from"
    if rollout.logprobs_mode != "processed_logprobs":
        return f"rollout.logprobs_mode={rollout.logprobs_mode} is not what was sampled from"
    if (config.algorithm.get("rollout_correction") or {}).get("bypass_mode", False):
        return "algorithm.rollout_correction.bypass_mode takes the engine's log-probs for the actor's"
    return None


def precision(config: DictConfig) -> Precision:
    """The coarser of the dtypes of rollout engine and actor.

    Args:
        config: verl's whole config.
    """
    model = config.actor_rollout_ref
    mixed = model.actor.get("fsdp_config", {}).get("mixed_precision") or {}
    dtypes = {str(model.rollout.dtype), str(mixed.get("param_dtype", "bf16"))}
    return Precision.SINGLE if dtypes <= {"float32", "fp32", "float"} else Precision.HALF


def _fetch(batch: KVBatchMeta, fields: list[str]) -> TensorDict:
    return tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
