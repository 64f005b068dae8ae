"""Run a command and show only its progress, halluc's warnings and its report; the rest goes to a log."""

import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import IO, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from halluc_plugin.atomic_files import make_folder
from halluc_plugin.errors import SettingsError
from halluc_plugin.progress import ASKED, COLOUR, REPORT, REPORT_END, Progress, parsed

LAST_LINES = 30
"""Number of last lines of the log that are shown if the command fails."""
INTERRUPTED = 130

_OURS = re.compile(r"\bhalluc(?:  |: ).*")
_CAUSE = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception): \S")
"""The beginning of a traceback's last line; a line of a Ray worker has the worker's name before it."""
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run_quietly(command: Sequence[str], log: Path, console: Console | None = None) -> int:
    """Run a command to its end, showing its progress and logging its output.

    Args:
        command: The program and its arguments, started as given.
        log: The file that receives everything the command prints to either stream, in order. Its folder is
            created if it does not exist.
        console: The console to show progress and report on; standard output by default.

    Returns:
        The command's exit status, 130 if it was interrupted.

    Raises:
        SettingsError: The program does not exist, or the log cannot be written.
    """
    console = console or Console(highlight=False)
    make_folder(log.parent)
    asked = {ASKED: COLOUR if console.is_terminal else "plain", "COLUMNS": str(console.width)}
    console.out(f"Log of all that is printed: {log}", highlight=False)
    try:
        with log.open("w", encoding="utf-8", errors="replace") as file:
            child = subprocess.Popen(  # noqa: S603 - what the user has typed
                list(command),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **asked},
                text=True,
                encoding="utf-8",
                errors="replace",
            )
            return _watch(child, file, _Shown(console), log)
    except OSError as error:
        raise SettingsError(
            f"{command[0]} cannot be started, or {log} not written ({error}).", "Look for a typing error."
        ) from error


def _watch(child: "subprocess.Popen[str]", file: IO[str], shown: "_Shown", log: Path) -> int:
    assert child.stdout is not None
    with _passing_on(child) as interrupted:
        for line in child.stdout:
            shown.take(line, file)
        status = child.wait()
    status = INTERRUPTED if interrupted else 128 - status if status < 0 else status
    shown.end(whole=not status)
    if status:
        shown.fail(status, log)
    return status


@contextmanager
def _passing_on(child: "subprocess.Popen[str]") -> Iterator[list[int]]:
    """Let the command end by itself where it is interrupted: what it says meanwhile is wanted.

    A terminal interrupts all of its programs, so the first time the command knows; what is asked again, or to
    end, is passed on.

    Yields:
        The signals that have come.
    """
    come: list[int] = []

    def take(number: int, _: object) -> None:
        if come or number == signal.SIGTERM:
            child.terminate()
        come.append(number)

    before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield come
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Shown:
    """What is on the screen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._phase, self._task, self._since = "", cast("TaskID | None", None), monotonic()
        self._in_report = False
        self._said: set[str] = set()
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._cause = ""
        self._bars.start()

    def end(self, *, whole: bool) -> None:
        """Nothing follows; ``whole`` says whether the last phase was done."""
        if whole:
            self._end_phase()
        self._bars.stop()

    def take(self, line: str, file: IO[str]) -> None:
        """Show what is to be shown of a line, and log what tells no progress."""
        told = parsed(line)
        if told is not None:
            self._advance(told)
            return
        plain = _ANSI.sub("", line)
        if plain.strip() in {REPORT, REPORT_END}:
            self._in_report = plain.strip() == REPORT
            if self._in_report:
                self._end_phase()
                self._bars.stop()
            return
        file.write(plain)
        file.flush()
        if self._in_report:
            self._console.print(Text.from_ansi(line.rstrip("\n")), soft_wrap=True)
            return
        if plain.strip():
            self._last.append(plain.rstrip())
        if _CAUSE.match(plain):
            self._cause = plain.strip()
        self._warn(plain)

    def _warn(self, line: str) -> None:
        """Show a line that halluc has written to users, once."""
        found = _OURS.search(line)
        if found and found.group() not in self._said:
            self._said.add(found.group())
            self._bars.console.print(Text(found.group().strip()), soft_wrap=True)

    def _advance(self, told: Progress) -> None:
        if told.phase != self._phase:
            self._end_phase()
            self._phase, self._since = told.phase, monotonic()
            self._task = self._bars.add_task(told.phase, total=told.total)
        assert self._task is not None
        self._bars.update(self._task, completed=told.done, total=told.total)

    def _end_phase(self) -> None:
        if self._task is None:
            return
        total = self._bars.tasks[self._task].total
        whole = 1 if total is None else total
        self._bars.update(self._task, total=whole, completed=whole)
        self._bars.stop_task(self._task)
        if not self._console.is_terminal:
            self._console.out(f"{self._phase}: {monotonic() - self._since:.0f} s", highlight=False)
        self._phase, self._task = "", None

    def fail(self, status: int, log: Path) -> None:
        """Show how the log ends, and what an error says of itself."""
        out = self._console.out
        out(f"\nThe last lines of {log}:", highlight=False)
        for line in self._last:
            out(f"  {line}", highlight=False)
        if self._cause:
            out(f"\n{self._cause}", style="bold", highlight=False)
        how = "was interrupted" if status == INTERRUPTED else f"ended with status {status}"
        out(f"The command {how}; all that it printed: {log}", highlight=False)
