"""Log some answers of a training run for reading: one JSONL file for each step, a few answers in each.

The layout is versioned. A line is a JSON object with the fields of :class:`LoggedTrace`; ``trace`` is
:func:`halluc_plugin.edits.trace_record`. ``docs/traces.md`` shows one.

Version 2 added the probabilities known before each action (``log_probs``, ``entropies``, ``edit_probs``), the
values around events, the verdicts on states, and the data source. Each of these is null where it is not
known: because the run does not compute it, or because the record has version 1. A single number that is not
finite is null.
"""

import json
import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.errors import DataError, SettingsError

if TYPE_CHECKING:
    from halluc_plugin.edits import EditVocab, TraceRecord

TRACE_LOG_VERSION = 2
READ_VERSIONS = (1, 2)
DIGITS = 5
"""Number of decimals that records keep: more would make files larger and add no information."""
FOLDER = "traces"

logger = logging.getLogger(__name__)


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


class TraceLog:
    """Writer of answers below a run's folder, up to a total size.

    A full disk does not end the training run: the error is reported once, and logging stops.

    Args:
        run_dir: The folder of the run.
        max_megabytes: Nothing more is written once the files together have this size, in megabytes.
    """

    def __init__(self, run_dir: Path, max_megabytes: float) -> None:
        self._folder = run_dir / FOLDER
        self._left = max_megabytes * 1e6 - sum(path.stat().st_size for path in self._folder.glob("*.jsonl"))
        self._stopped = False

    def write(self, step: int, traces: Iterable[LoggedTrace]) -> None:
        """Write the answers of a step; a step that is done again replaces its file.

        Args:
            step: Global training step.
            traces: The answers of the step to write.
        """
        if self._stopped:
            return
        text = "".join(_line(trace) for trace in traces)
        self._left -= len(text.encode())
        if self._left < 0:
            self._stop(f"the files in {self._folder} have reached halluc.trace_log.max_megabytes")
            return
        try:
            write_whole(self._folder / f"step-{step:06d}.jsonl", text)
        except (OSError, SettingsError) as error:
            self._stop(str(error))

    def _stop(self, reason: str) -> None:
        self._stopped = True
        logger.warning("halluc: no more traces are logged (%s); training goes on.", reason)


def _line(trace: LoggedTrace) -> str:
    # Not asdict, which copies every number of every action.
    record = {field.name: getattr(trace, field.name) for field in fields(trace)}
    return json.dumps(record, ensure_ascii=False) + "\n"


def logged_steps(run_dir: Path) -> dict[int, Path]:
    """Return the trace files of a run by step, in ascending order.

    Raises:
        DataError: The run has no trace files.
    """
    folder = run_dir if run_dir.name == FOLDER else run_dir / FOLDER
    found = {
        int(match.group(1)): path
        for path in sorted(folder.glob("step-*.jsonl"))
        if (match := re.fullmatch(r"step-(\d+)\.jsonl", path.name))
    }
    if not found:
        raise DataError(
            f"{folder} holds no traces of a run.",
            "Name a run's folder, checkpoints/PROJECT/EXPERIMENT; ++halluc.trace_log.per_step=0 keeps none.",
        )
    return dict(sorted(found.items()))


def read_step(path: Path) -> list[LoggedTrace]:
    """Read the answers of one step.

    Raises:
        DataError: A line is not an answer, or has an unknown version of the layout.
    """
    # Not splitlines: a sampled text may hold one of the other line breaks that Unicode knows.
    text = path.read_text(encoding="utf-8")
    lines = text.removesuffix("\n").split("\n") if text else []
    return [_parsed(path, number, line) for number, line in enumerate(lines, 1)]


def _parsed(path: Path, number: int, line: str) -> LoggedTrace:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise _no_answer(path, number, error) from error
    return parsed_record(path, number, record)


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
        raise _no_answer(path, number, error) from error
    raise DataError(
        f"{path}, line {number} has version {version}, this halluc reads {READ_VERSIONS[0]} to "
        f"{READ_VERSIONS[-1]}.",
        "Read it with the release of halluc that wrote it.",
    )


def _no_answer(path: Path, number: int, error: Exception) -> DataError:
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
