"""Read the trace log of a training run."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from halluc_plugin.errors import DataError, TraceError
from halluc_plugin.run_charts import charts
from halluc_plugin.run_metrics import FILE as METRICS_FILE
from halluc_plugin.run_metrics import FOLDER as METRICS
from halluc_plugin.run_metrics import read_run
from halluc_plugin.trace_log import FOLDER, LoggedTrace, logged_steps, parsed_record
from halluc_plugin.verifiers import Outcome
from halluc_plugin.viewer.answers import (
    Kind,
    ShownAnswer,
    Source,
    before_edits,
    judged,
    require_one_vocabulary,
)
from halluc_plugin.viewer.sources.lines import whole_lines


def holds_steps(folder: Path) -> bool:
    """Return whether a folder is a run's folder with a trace log, or the log itself."""
    return any(folder.glob(f"{FOLDER}/step-*.jsonl")) or (
        folder.name == FOLDER and any(folder.glob("step-*.jsonl"))
    )


def read_folder(folder: Path) -> Source:
    """Read a run from its folder, or from the folder of its log.

    Raises:
        DataError: The folder holds no log, or one that cannot be read or has no answers.
    """
    place = folder.parent if folder.name == FOLDER else folder
    source = read(logged_steps(folder).values(), place)
    if not any((place / METRICS).glob("*.jsonl")) and not (place / METRICS_FILE).is_file():
        return source
    try:
        return replace(source, charts=charts(read_run(place)))
    except DataError as error:  # answers are worth seeing without their curves
        return replace(source, notes=(f"No curves: {error.cause}",))


def read(files: Iterable[Path], place: Path) -> Source:
    """Read the steps of a run.

    Args:
        files: The file of each step; those that are deleted meanwhile are left out.
        place: The path that is read, for the name of the source.

    Raises:
        DataError: A line is not an answer or has another version, there is no answer, or ids do not mean the
            same in all answers.
    """
    shown: list[ShownAnswer] = []
    skipped = 0
    for path in files:
        try:
            if not path.stat().st_size:
                continue  # a disk that was full leaves one behind
            lines, cut = whole_lines(path)
        except FileNotFoundError:
            continue  # a run that is still going has made room for a newer step
        skipped += cut
        shown += [_shown(path, number, parsed_record(path, number, record)) for number, record in lines]
    if not shown:
        raise DataError(f"{place} has a log without answers.", "Let the run log a step (halluc.trace_log).")
    require_one_vocabulary(place, shown)
    return Source(place.resolve().name, Kind.RUN, place, shown, skipped=skipped)


def of_log(logged: LoggedTrace) -> ShownAnswer:
    """Return a logged answer in the form in which it is shown."""
    scores, values = logged.scores, logged.event_values
    return ShownAnswer(
        answer=logged.answer,
        prompt=logged.prompt,
        tokens=logged.tokens,
        record=logged.record,
        step=logged.step,
        group=logged.answer.rsplit("_", 2 if logged.answer.count("_") > 1 else 1)[0],
        data_source=logged.data_source,
        outcome=judged(scores.get("acc")),
        first_outcome=_without_edits(logged),
        reward=logged.reward,
        advantages=logged.advantages,
        response_mask=logged.response_mask,
        log_probs=logged.log_probs,
        entropies=logged.entropies,
        edit_probs=logged.edit_probs,
        event_values=None if values is None else [(before, after) for before, after in values],
        verdicts=logged.verdicts,
        scores=scores,
        text=logged.text,
    )


def _without_edits(logged: LoggedTrace) -> Outcome | None:
    """The verdict without edits: of an answer sampled without, else of the text before the first edit."""
    scores = logged.scores
    if "acc_without_edits" in scores:
        return judged(scores["acc_without_edits"])
    # acc_raw last: edits that are spelled out make nearly every text wrong, that of a false alarm, too.
    return before_edits(logged.record, logged.verdicts) or judged(scores.get("acc_raw"))


def _shown(path: Path, number: int, logged: LoggedTrace) -> ShownAnswer:
    try:
        return of_log(logged)
    except TraceError as error:
        raise DataError(f"{path}, line {number}: {error.cause}", error.fix) from error
