"""The record of one answer of a training run.

The layout is versioned. A line is a JSON object with the fields of :class:`LoggedTrace`; ``trace`` is
:func:`halluc_plugin.edits.trace_record`. ``docs/traces.md`` shows one.

Version 2 added the probabilities known before each action (``log_probs``, ``entropies``, ``edit_probs``), the
values around events, the verdicts on states, and the data source. Each of these is null where it is not
known: because the run does not compute it, or because the record has version 1. A single number that is not
finite is null.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc_plugin.errors import DataError

if TYPE_CHECKING:
    from halluc_plugin.edits import EditVocab, TraceRecord

TRACE_LOG_VERSION = 2
READ_VERSIONS = (1, 2)
DIGITS = 5
"""Number of decimals that records keep: more would make files larger and add no information."""


@dataclass(frozen=True)
class LoggedTrace:
    """One answer of T actions.

    Attributes:
        version: Version of the layout.
        step: Global training step.
        answer: Name of the answer, unique in its run. The names of answers to one prompt begin alike.
        prompt: Text of the prompt.
        trace: The record that :func:`halluc_plugin.edits.trace_record` makes of the sampled ids.
        tokens: The text that each action adds to the sampled text, T of them.
        response_mask: 1 for each action that contributes to the loss, else 0, T of them.
        advantages: Advantage of each action, T of them.
        reward: Reward of the answer.
        scores: The reward manager's other figures by name: unweighted components, verdicts, counts.
        text: The resolved text, decoded as a whole. None in records that were written before it was kept.
        data_source: The data source of the problem.
        log_probs: Log-probability of each action in nats, T of them, under the policy that sampled it: at the
            sampling temperature, in the run's context, banned tokens left out of the softmax. Under verl they
            are those of the actor's pass before the update (``old_log_probs``).
        entropies: Entropy of that policy before each action, in nats, T of them.
        edit_probs: Probability before each action that it is any edit token, T of them.
        event_values: For each event, the value of the state before it and of the state after it, by which
            edits are credited.
        verdicts: Whether the verifier accepts the live text before each action (no error in it, and the goal
            still within reach), and once more for the text at the end: T + 1 of them.
    """

    version: int
    step: int
    answer: str
    prompt: str
    trace: dict[str, Any]
    tokens: list[str]
    response_mask: list[int]
    advantages: list[float]
    reward: float
    scores: dict[str, float]
    text: str | None = None
    data_source: str | None = None
    log_probs: list[float | None] | None = None
    entropies: list[float | None] | None = None
    edit_probs: list[float | None] | None = None
    event_values: list[list[float]] | None = None
    verdicts: list[bool] | None = None

    @cached_property
    def record(self) -> "TraceRecord":
        """Return what became of each action.

        Raises:
            TraceError: The record has another version of its layout.
        """
        from halluc_plugin.edits import read_record

        return read_record(self.trace)


def line_of(trace: LoggedTrace) -> str:
    """Return the line that holds an answer, with its end."""
    # Not asdict, which copies every number of every action.
    record = {field.name: getattr(trace, field.name) for field in fields(trace)}
    return json.dumps(record, ensure_ascii=False) + "\n"


def parsed_record(path: Path, number: int, record: Mapping[str, Any]) -> LoggedTrace:
    """Return the answer in one line of a trace file.

    Args:
        path: The file, for error messages.
        number: The number of the line, from 1, for error messages.
        record: The parsed JSON of the line.

    Raises:
        DataError: The line is not an answer, or has an unknown version of the layout.
    """
    try:
        version = record["version"]
        if version in READ_VERSIONS:
            return LoggedTrace(
                **{
                    field.name: record[field.name]
                    if field.default is MISSING
                    else record.get(field.name, field.default)
                    for field in fields(LoggedTrace)
                }
            )
    except (KeyError, TypeError) as error:
        raise no_answer(path, number, error) from error
    raise DataError(
        f"{path}, line {number} has version {version}, this halluc reads {READ_VERSIONS[0]} to "
        f"{READ_VERSIONS[-1]}.",
        "Read it with the release of halluc that wrote it.",
    )


def no_answer(path: Path, number: int, error: Exception) -> DataError:
    """Return the error of a line that is not an answer."""
    reason = f"{type(error).__name__}: {error}"
    return DataError(
        f"{path}, line {number} is not a logged answer ({reason}).", "Delete the line or the file."
    )


def logged_trace(
    *,
    step: int,
    answer: str,
    prompt: Sequence[int],
    response: Sequence[int],
    response_mask: Sequence[float],
    advantages: Sequence[float],
    reward: float,
    scores: Mapping[str, float],
    tokenizer: Any,
    vocab: "EditVocab",
    data_source: str | None = None,
    log_probs: Sequence[float] | None = None,
    entropies: Sequence[float] | None = None,
    edit_probs: Sequence[float] | None = None,
    event_values: Sequence[Sequence[float]] | None = None,
    verdicts: Sequence[bool] | None = None,
) -> LoggedTrace:
    """Return the record of an answer, made from its ids.

    Arguments that are not described here are the fields of :class:`LoggedTrace` of the same name.

    Args:
        step: Global training step.
        answer: Name of the answer, unique in its run.
        prompt: The token ids of the prompt, Int[P].
        response: The token ids of the raw trace, Int[T].
        response_mask: 1 for each action that contributes to the loss, else 0: Float[T].
        advantages: Advantage of each action, Float[T].
        reward: Reward of the answer.
        scores: The reward manager's other figures by name.
        tokenizer: The tokenizer of the ids.
        vocab: The edit vocabulary of the ids.
        data_source: Data source of the problem, None if not known.
        log_probs: Log-probability of each action in nats, Float[T], None if not known.
        entropies: Entropy before each action in nats, Float[T], None if not known.
        edit_probs: Probability of an edit before each action, Float[T], None if not known.
        event_values: The values before and after each event, None if not known.
        verdicts: The verdict on the live text before each action and at the end, Bool[T + 1], None if not
            known.
    """
    from halluc_plugin.edits import trace_record
    from halluc_plugin.edits.texts import token_texts

    record = trace_record(response, vocab)
    return LoggedTrace(
        version=TRACE_LOG_VERSION,
        step=step,
        answer=answer,
        prompt=tokenizer.decode(prompt),
        trace=record,
        tokens=token_texts(tokenizer, response),
        response_mask=[int(learns) for learns in response_mask],
        advantages=[float(advantage) for advantage in advantages],
        reward=float(reward),
        scores={name: float(value) for name, value in scores.items()},
        text=tokenizer.decode(record["resolved"]),
        data_source=data_source,
        log_probs=rounded(log_probs),
        entropies=rounded(entropies),
        edit_probs=rounded(edit_probs),
        event_values=None if event_values is None else [list(map(float, pair)) for pair in event_values],
        verdicts=None if verdicts is None else list(map(bool, verdicts)),
    )


def rounded(values: Sequence[float] | None) -> list[float | None] | None:
    """Return numbers rounded as records keep them, None in place of those that are not finite."""
    if values is None:
        return None
    return [round(float(value), DIGITS) if math.isfinite(value) else None for value in values]
