"""verl's synchronous trainer with a guard against drift, and halluc's metrics in every tracker."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transfer_queue as tq
from omegaconf import DictConfig
from tensordict import TensorDict
from torch import Tensor
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from halluc_plugin.credit import require_finite
from halluc_plugin.rewards import components
from halluc_plugin.rewards.influence import unchanged_groups
from halluc_plugin.rl.answers import Answers, shape, shapes_actions
from halluc_plugin.rl.drift import Precision, compare, stop_if_drifted
from halluc_plugin.rl.rollout_reader import RolloutReader
from halluc_plugin.rl.step_metrics import (
    ProblemRow,
    drawn,
    drawn_groups,
    event_metrics,
    rollout_discrimination,
    rollout_metrics,
    stage_metrics,
)
from halluc_plugin.rl.turn_credit import LogProbs, Turns, turn_advantages
from halluc_plugin.rl.warning_signs import FIRST_LOOK, SignWatch, blind_start
from halluc_plugin.trace_log import TraceLog
from verl_ext.columns import TURNS
from verl_ext.compat import AnswersToSync
from verl_ext.engine_limits import EngineLimits
from verl_ext.kept_answers import logged_traces, problem_rows
from verl_ext.run_settings import check, from_config
from verl_ext.watch.sync import watch_sync

logger = logging.getLogger(__name__)

_SHAPED = ("responses", "response_mask", "advantages", "rm_scores", "extra_fields")


@register_trainer("backtrack_sync")
class BacktrackTrainer(AnswersToSync, PPOTrainerSync):
    """verl's ``sync`` trainer, which stops if engine and actor drift apart and logs ``backtrack/`` metrics.

    Raises:
        SettingsError: The ``halluc:`` block is wrong or contradicts verl's config.
    """

    def __init__(self, config: DictConfig) -> None:
        self._settings = from_config(config)
        check(config, self._settings)
        super().__init__(config)
        reason = why_incomparable(config)
        self._comparable = reason is None
        if self._settings.guard.enabled and reason:
            logger.warning("halluc: the guard against stale weights is off, because %s.", reason)
        self._signs = SignWatch()
        keep = self._settings.trace_log
        self._trace_log = TraceLog(Path(config.trainer.default_local_dir), keep.max_megabytes)

    def _setup(self) -> None:
        super()._setup()
        servers = [replica.server_address for replica in self.llm_server_manager.get_replicas()]
        update_weights, limit = self.checkpoint_manager.update_weights, self._settings.failures.stalled_after

        def watched(*args: Any, **kwargs: Any) -> Any:
            with watch_sync(servers, self.actor_rollout_wg.workers, limit):
                return update_weights(*args, **kwargs)

        # Here, not in the trainer's hooks: with a colocated reward model, validations sync weights too.
        self.checkpoint_manager.update_weights = watched

    def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        batch = super()._compute_old_log_prob(batch, metrics)
        if self._comparable:
            data = _fetch(batch, ["rollout_log_probs", "old_log_probs", "response_mask"]).to_padded_tensor()
            agreement = compare(data["rollout_log_probs"], data["old_log_probs"], data["response_mask"])
            if agreement is not None:
                metrics["backtrack/engine_drift"] = agreement.drift
                metrics["backtrack/engine_drift_max"] = agreement.largest
                metrics["backtrack/engine_correlation"] = agreement.correlation
            if self._settings.guard.enabled:
                stop_if_drifted(agreement, precision(self.config), self._settings.guard)
        return batch

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        # verl's estimators would make advantages of any; the whole step would then be skipped, or worse.
        keys, scores = _fetch_answers(batch, ("rm_scores",))
        require_finite(torch.stack([row.sum() for row in scores["rm_scores"]]))
        if self.global_steps == 1:
            self._warn_of_blind_start(batch, keys)
        batch = super()._compute_advantage(batch, metrics)
        # verl's estimators see neither ids nor halluc's columns: what they return is shaped here.
        if self._settings.turns.stage is not None:
            return self._pay_turns(batch)
        if not shapes_actions(self._settings):
            return batch
        keys, data = _fetch_answers(batch, _SHAPED)
        answers = Answers(
            keys=keys,
            prompts=[_prompt_of(key) for key in keys],
            responses=data["responses"],
            masks=data["response_mask"],
            advantages=data["advantages"],
            rewards=[float(row.sum()) for row in data["rm_scores"]],
            infos=_infos(data["extra_fields"]),
        )
        rows, paid = shape(
            answers, self._reader.vocab, self._settings.at(self.global_steps),
            marks=self._reader.marks, step=self.global_steps,
        )  # fmt: skip
        metrics.update(paid)
        _put_advantages(batch, keys, rows)
        return batch

    def _pay_turns(self, batch: KVBatchMeta) -> KVBatchMeta:
        """Pay each of two turns for its own attempt (``halluc.turns.stage``)."""
        turns = self._settings.turns
        compared = ("old_log_probs", "ref_log_prob") if turns.hold else ()
        keys, data = _fetch_answers(batch, ("response_mask", "extra_fields", *compared))
        told = [fields.get(TURNS) for fields in data["extra_fields"]]
        answers = Turns(
            prompts=[_prompt_of(key) for key in keys],
            turns=[None if each is None else (int(each[0]), int(each[1])) for each in told],
            masks=data["response_mask"],
            infos=_infos(data["extra_fields"]),
        )
        log_probs = LogProbs(*(data[name] for name in compared)) if compared else None
        by_std = bool(_divides_by_deviation(self.config))
        _put_advantages(batch, keys, turn_advantages(answers, turns, log_probs, normalize_by_std=by_std))
        return batch

    def _compute_metrics(
        self, batch: KVBatchMeta, metrics: dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        super()._compute_metrics(batch, metrics, *args, **kwargs)
        keys, data = _fetch_answers(batch, ("extra_fields", "response_mask"))
        infos = _infos(data["extra_fields"])
        metrics.update(rollout_metrics(infos, data["response_mask"]))
        metrics.update(self._degeneracy(infos, keys))
        judged = self._settings.metrics.judged_per_step
        budget = self._settings.at(self.global_steps).max_backtracks
        metrics.update(event_metrics(self._problem_rows(batch, keys, judged), self._reader, budget=budget))
        metrics.update(stage_metrics(self._settings, self.global_steps))
        self._log_traces(batch, keys)
        self._warn_of_signs(metrics)

    def _warn_of_blind_start(self, batch: KVBatchMeta, keys: list[str]) -> None:
        """Say before the first update what rewards cannot teach from there, by the first step's answers."""
        settings = self._settings.at(self.global_steps)
        rows = self._problem_rows(batch, keys, FIRST_LOOK * settings.metrics.judged_per_step)
        found = rollout_discrimination(rows, self._reader, budget=settings.max_backtracks)
        told = blind_start(found, credited=bool(settings.credit.alpha))
        if told is not None and self._may_edit:
            logger.warning("halluc: %s", told)

    @property
    def _may_edit(self) -> bool:
        """Whether answers of this step might take something back."""
        edits = self.config.actor_rollout_ref.rollout.agent.default_agent_loop == "backtrack"
        return edits and self._settings.at(self.global_steps).max_backtracks != 0

    def _warn_of_signs(self, metrics: Mapping[str, Any]) -> None:
        for told in self._signs.observe(self.global_steps, metrics, may_edit=self._may_edit):
            logger.warning("halluc: %s", told)

    def _degeneracy(self, infos: list[dict[str, Any]], keys: list[str]) -> dict[str, float]:
        """Shares of groups that a component of the reward does not move; empty as ``rollout_metrics``."""
        if not all(components().keys() <= info.keys() for info in infos):
            return {}
        prompts = [_prompt_of(key) for key in keys]
        by_std = _divides_by_deviation(self.config)
        reward = self._settings.at(self.global_steps).reward
        shares = unchanged_groups(infos, prompts, reward, normalize_by_std=bool(by_std))
        # Of an estimator that we do not know, only that answers which all earn the same teach it nothing.
        known = shares if by_std is not None else {"groups": shares["groups"]}
        return {f"backtrack/degenerate/{name}": share for name, share in known.items()}

    def _problem_rows(self, batch: KVBatchMeta, keys: list[str], count: int) -> list[ProblemRow]:
        """Some answers whose states a verifier judges, drawn by the number of the step."""
        return problem_rows(self.config, batch.partition_id, drawn(keys, count, self.global_steps))

    def _log_traces(self, batch: KVBatchMeta, keys: list[str]) -> None:
        """Keep a few of the step's answers."""
        chosen = drawn_groups(keys, self._settings.trace_log.per_step, self.global_steps, _prompt_of)
        if not chosen:
            return
        traces = logged_traces(
            self.config,
            batch.partition_id,
            chosen,
            step=self.global_steps,
            reader=self._reader,
            tokenizer=self.tokenizer,
            judges=self._settings.metrics.judged_per_step > 0,
        )
        self._trace_log.write(self.global_steps, traces)

    @cached_property
    def _reader(self) -> RolloutReader:
        # Once a run: every token's text is looked at for the ends of steps.
        return RolloutReader.of(
            self.tokenizer, self._settings, EngineLimits.of(self.config, self.tokenizer).ends
        )


def _divides_by_deviation(config: DictConfig) -> bool | None:
    """Whether advantages are rewards over their group's deviation; None where they are something else."""
    estimator = str(config.algorithm.adv_estimator)
    if estimator in {"backtrack_grpo", "grpo", "grpo_vectorized"}:
        return bool(config.algorithm.get("norm_adv_by_std_in_grpo", True))
    less_a_baseline = {"rloo", "rloo_vectorized", "opo", "gpg"}
    return False if estimator in less_a_baseline else None


def why_incomparable(config: DictConfig) -> str | None:
    """Return why log-probs of engine and actor cannot be compared in this run, None if they can.

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
    """Return the coarser of the dtypes of rollout engine and actor.

    Args:
        config: verl's whole config.
    """
    model = config.actor_rollout_ref
    mixed = model.actor.get("fsdp_config", {}).get("mixed_precision") or {}
    dtypes = {str(model.rollout.dtype), str(mixed.get("param_dtype", "bf16"))}
    return Precision.SINGLE if dtypes <= {"float32", "fp32", "float"} else Precision.HALF


def _fetch_answers(batch: KVBatchMeta, columns: Sequence[str]) -> tuple[list[str], dict[str, list[Any]]]:
    """Columns of the answers by name, and their keys: without the rows that verl adds to fill a batch."""
    real = [not tag.get("is_padding", False) for tag in batch.tags]
    data = _fetch(batch, list(columns))
    rows = {name: data[name].unbind() if isinstance(data[name], Tensor) else data[name] for name in columns}
    kept = {
        name: [value for value, keep in zip(values, real, strict=True) if keep]
        for name, values in rows.items()
    }
    return [key for key, keep in zip(batch.keys, real, strict=True) if keep], kept


def _put_advantages(batch: KVBatchMeta, keys: list[str], rows: list[Tensor]) -> None:
    """Write advantages, Float[T] for each answer, over verl's."""
    fields = TensorDict(
        {"advantages": torch.nested.as_nested_tensor(rows, layout=torch.jagged)}, batch_size=len(keys)
    )
    tq.kv_batch_put(keys=keys, partition_id=batch.partition_id, fields=fields)


def _prompt_of(key: str) -> str:
    return key.rsplit("_", 2)[0]  # verl's keys: UID_SESSION_INDEX


def _infos(extra_fields: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [fields.get("reward_extra_info", {}) for fields in extra_fields]


def _fetch(batch: KVBatchMeta, fields: list[str]) -> TensorDict:
    return tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
