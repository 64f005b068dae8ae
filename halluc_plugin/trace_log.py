"""Answers of a training run, kept to be read: one JSONL file a step, a few answers in each.

The layout has a version. A line is a JSON object with the fields of :class:`LoggedTrace`; ``trace`` is
:func:`halluc_plugin.edits.trace_record`. ``docs/traces.md`` shows one.

Version 2 added what was known of each action before it was taken (``log_probs``, ``entropies``,
``edit_probs``), the values around events, the verdicts on states, and the data source. Each of these is null
where it is not known: no source had it, or the record is of version 1. Single places are null where a number
is not finite.
"""

import json
import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
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
"""Decimals that are kept of what is known of an action: more would make files larger and tell nothing."""
FOLDER = "traces"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoggedTrace:
    """One answer of T actions.

    Attributes:
        version: Of this layout.
        step: Global training step.
        answer: Name of the answer, unique in its run; answers to one prompt begin alike.
        prompt: Text of the prompt.
        trace: :func:`halluc_plugin.edits.trace_record` of the sampled ids.
        tokens: What each action adds to the text as sampled.
        response_mask: 1 for each action that learns, else 0.
        advantages: Advantage of each action.
        reward: What the answer was paid.
        scores: The reward manager's other figures by name: components unweighted, verdicts, counts.
        text: What is left, decoded as a whole; None in records of before it was kept.
        data_source: Of the problem.
        log_probs: Of each action, in nats, under the policy that it was sampled from: at the temperature of
            sampling, in the run's context, what was banned out of the softmax; under verl those of the
            actor's pass before the update (``old_log_probs``).
        entropies: Of that policy before each action, in nats.
        edit_probs: Probability before each action that it is an edit, whatever it was.
        event_values: For each event the value of the state before it and after it, as edits are paid by.
        verdicts: Whether the verifier finds the text that is live before each action fine (nothing wrong in
            it, and the goal within reach), and one more for the text at the end: T + 1.
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
        """What became of each action.

        Raises:
            TraceError: It is of another version of its layout.
        """
        from halluc_plugin.edits import read_record

        return read_record(self.trace)


class TraceLog:
    """Writes answers below a run's folder, up to a size.

    A full disk must not end a training run: what cannot be written is reported once, and logging stops.

    Args:
        run_dir: Folder of the run.
        max_megabytes: Nothing more is written once the files have this size together.
    """

    def __init__(self, run_dir: Path, max_megabytes: float) -> None:
        self._folder = run_dir / FOLDER
        self._left = max_megabytes * 1e6 - sum(path.stat().st_size for path in self._folder.glob("*.jsonl"))
        self._stopped = False

    def write(self, step: int, traces: Iterable[LoggedTrace]) -> None:
        """Write the answers of a step; a step that is done again replaces its file.

        Args:
            step: Global training step.
            traces: Its answers.
        """
        if self._stopped:
            return
        text = "".join(json.dumps(asdict(trace), ensure_ascii=False) + "\n" for trace in traces)
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


def logged_steps(run_dir: Path) -> dict[int, Path]:
    """The files of a run by step, in order.

    Raises:
        DataError: There is none.
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
    """The answers of one step.

    Raises:
        DataError: A line is no answer, or of a version of the layout that is not known here.
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
    """The answer of a line.

    Args:
        path: The file, for messages.
        number: The line, from 1, likewise.
        record: The line as JSON.

    Raises:
        DataError: It is no answer, or of a version of the layout that is not known here.
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
    """Make a record from ids.

    Args:
        step: As in :class:`LoggedTrace`, like all that is not said here.
        answer: As above.
        prompt: Its ids.
        response: Ids of the raw trace.
        response_mask: As above.
        advantages: As above.
        reward: As above.
        scores: As above.
        tokenizer: The tokenizer of the ids.
        vocab: Which ids edit.
        data_source: As above, None where it is not known, like all that follows.
        log_probs: As above.
        entropies: As above.
        edit_probs: As above.
        event_values: As above.
        verdicts: As above.
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
    """Numbers of actions as records keep them: short, and null where JSON has no number for them."""
    if values is None:
        return None
    return [round(float(value), DIGITS) if math.isfinite(value) else None for value in values]
