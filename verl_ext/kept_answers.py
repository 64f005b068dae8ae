"""Read the answers of a step from verl's queue, to judge their states and to log them."""

import json
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import transfer_queue as tq
from omegaconf import DictConfig

from halluc_plugin.data.rows import plain
from halluc_plugin.rl.rollout_reader import RolloutReader
from halluc_plugin.rl.step_metrics import ProblemRow, verdicts
from halluc_plugin.tasks import find_verifier
from halluc_plugin.trace_log import LoggedTrace, logged_trace
from verl_ext.columns import EDIT_PROBS
from verl_ext.host_settings.keys import OWN_STRATEGY
from verl_ext.run_settings import actor_passes, has_reward_function, judged_by_model

_JUDGED = ("responses", "data_source", "reward_model")
_NUMBERS = ("prompts", "responses", "response_mask", "advantages", "rm_scores", "old_log_probs")


def problem_rows(config: DictConfig, partition_id: str, keys: Sequence[str]) -> list[ProblemRow]:
    """Return answers with their problems, and the probabilities of edits if the actor computed them.

    Args:
        config: verl's whole config.
        partition_id: Partition of the queue.
        keys: Keys of the answers.

    Returns:
        One row for each key; none if the answers are not judged by halluc's verifiers.
    """
    if not keys or has_reward_function(config) or judged_by_model(config):
        return []
    own = _tells_edit_probs(config)
    fields = [*_JUDGED, *(("prompts", EDIT_PROBS) if own else ())]
    data = tq.kv_batch_get(keys=list(keys), partition_id=partition_id, select_fields=fields)
    rows = zip(
        data["responses"].unbind(), data["data_source"], data["reward_model"],
        _edit_probs(data) if own else [None] * len(keys), strict=True,
    )  # fmt: skip
    return [
        ProblemRow(ids.tolist(), find_verifier(source), plain(problem["ground_truth"]), masses)
        for ids, source, problem, masses in rows
    ]


def logged_traces(
    config: DictConfig,
    partition_id: str,
    keys: Sequence[str],
    *,
    step: int,
    reader: RolloutReader,
    tokenizer: Any,
    judges: bool,
) -> list[LoggedTrace]:
    """Return the log records of answers.

    Args:
        config: verl's whole config.
        partition_id: Partition of the queue.
        keys: Keys of the answers.
        step: Global training step.
        reader: The reader of the ids.
        tokenizer: The tokenizer of the ids.
        judges: Whether verifiers judge every state.
    """
    own, passes = _tells_edit_probs(config), actor_passes(config)
    numbers = (*_NUMBERS, *(("entropy",) if passes else ()))
    fields = [*numbers, *((EDIT_PROBS,) if own else ()), "extra_fields", "data_source"]
    data = tq.kv_batch_get(keys=list(keys), partition_id=partition_id, select_fields=fields)
    columns: dict[str, Sequence[Any]] = {name: [r.tolist() for r in data[name].unbind()] for name in numbers}
    unknown = [None] * len(keys)
    columns |= {
        "key": keys,
        "edit_probs": _edit_probs(data) if own else unknown,
        "verdicts": (verdicts(problem_rows(config, partition_id, keys), reader) if judges else []) or unknown,
        "extra_fields": list(data["extra_fields"]),
        "data_source": list(data["data_source"]),
    }
    rows = ({name: values[i] for name, values in columns.items()} for i in range(len(keys)))
    return [_logged(row, step, reader, tokenizer) for row in rows]


def _logged(row: Mapping[str, Any], step: int, reader: RolloutReader, tokenizer: Any) -> LoggedTrace:
    info = row["extra_fields"].get("reward_extra_info", {})
    moves = info.get("moves")
    return logged_trace(
        step=step,
        answer=row["key"],
        prompt=row["prompts"],
        response=row["responses"],
        response_mask=row["response_mask"],
        advantages=row["advantages"],
        reward=sum(row["rm_scores"]),
        # A scorer of the user's may return anything beside its score.
        scores={name: float(value) for name, value in info.items() if isinstance(value, Real)},
        tokenizer=tokenizer,
        vocab=reader.vocab,
        data_source=row["data_source"],
        log_probs=row["old_log_probs"],
        entropies=row.get("entropy"),
        edit_probs=row["edit_probs"],
        event_values=json.loads(moves) if isinstance(moves, str) else None,
        verdicts=row["verdicts"],
    )


def _tells_edit_probs(config: DictConfig) -> bool:
    return actor_passes(config) and str(config.actor_rollout_ref.actor.strategy) == OWN_STRATEGY


def _edit_probs(data: Mapping[str, Any]) -> list[list[float]]:
    """Return the probabilities of edits for each answer, cut out of the engine's row.

    The engine gives them one position before each action.
    """
    rows = zip(*(data[name].unbind() for name in ("prompts", "responses", EDIT_PROBS)), strict=True)
    return [
        probs[len(prompt) - 1 : len(prompt) - 1 + len(response)].tolist() for prompt, response, probs in rows
    ]
