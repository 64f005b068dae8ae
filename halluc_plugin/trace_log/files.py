"""The files of a trace log: one of JSONL for each step, which rotate within a total size."""

import json
import logging
import re
from collections.abc import Iterable
from pathlib import Path

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.trace_log.records import LoggedTrace, line_of, no_answer, parsed_record

FOLDER = "traces"
LIMIT = "halluc.trace_log.max_megabytes"

logger = logging.getLogger(__name__)


class TraceLog:
    """Writer of answers below a run's folder, one file for each step, within a total size.

    When the files together have reached it, they rotate: the oldest steps are deleted to make room for the
    new one. A run has one writer, in its driver. That of a resumed run counts what is there, goes on with
    the run's own numbers of steps, and replaces the steps that it does again. A full disk does not end the
    training run: the error is reported once, and logging stops.

    Args:
        run_dir: The folder of the run.
        max_megabytes: Largest size of all files together, in 10^6 bytes. A step that is larger by itself is
            left out, with a warning.
    """

    def __init__(self, run_dir: Path, max_megabytes: float) -> None:
        self._folder = run_dir / FOLDER
        self._limit = max_megabytes * 1e6
        self._sizes = {step: path.stat().st_size for step, path in _files(self._folder).items()}
        self._told: set[str] = set()
        self._stopped = False

    def write(self, step: int, traces: Iterable[LoggedTrace]) -> None:
        """Write the answers of a step; a step that is done again replaces its file.

        Args:
            step: Global training step.
            traces: The answers of the step to write.
        """
        if self._stopped:
            return
        text = "".join(map(line_of, traces))
        size = len(text.encode())
        try:
            if size > self._limit:
                self._drop(step)  # what was there is of a step that has been done again
                self._warn_once(f"the answers of a step are more than {LIMIT} and are not logged")
            else:
                self._make_room(step, size)
                write_whole(self._path(step), text)
                self._sizes[step] = size
        except (OSError, SettingsError) as error:
            self._stopped = True
            self._warn_once(f"no more traces are logged ({error})")

    def _make_room(self, step: int, size: int) -> None:
        # A run writes its steps in ascending order: later ones are those of a run that was resumed before
        # them, or begun afresh in its folder.
        others = sorted(self._sizes.keys() - {step}, key=lambda other: (other < step, other))
        held = sum(self._sizes[other] for other in others)
        for other in others:
            if held + size <= self._limit:
                return
            self._warn_once(f"the files in {self._folder} have reached {LIMIT}, the oldest are deleted")
            held -= self._sizes[other]
            self._drop(other)

    def _drop(self, step: int) -> None:
        self._path(step).unlink(missing_ok=True)
        self._sizes.pop(step, None)

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:06d}.jsonl"

    def _warn_once(self, told: str) -> None:
        if told not in self._told:
            self._told.add(told)
            logger.warning("halluc: %s; training goes on.", told)


def _files(folder: Path) -> dict[int, Path]:
    """The file of each step, in ascending order."""
    found = {
        int(match.group(1)): path
        for path in folder.glob("step-*.jsonl")
        if (match := re.fullmatch(r"step-(\d+)\.jsonl", path.name))
    }
    return dict(sorted(found.items()))


def logged_steps(run_dir: Path) -> dict[int, Path]:
    """Return the trace files of a run by step, in ascending order.

    A run that is still going may delete the oldest of them before they are read.

    Raises:
        DataError: The run has no trace files.
    """
    folder = run_dir if run_dir.name == FOLDER else run_dir / FOLDER
    found = _files(folder)
    if not found:
        raise DataError(
            f"{folder} holds no traces of a run.",
            "Name a run's folder, checkpoints/PROJECT/EXPERIMENT; ++halluc.trace_log.per_step=0 keeps none.",
        )
    return found


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
        raise no_answer(path, number, error) from error
    return parsed_record(path, number, record)
