"""Report the progress of a command to its parent, as marked lines among its output.

``halluc quiet`` sets the environment variable :data:`ASKED`, reads the lines, and shows a bar for each phase.
Without the variable nothing is printed. The lines travel with all other output, so those of Ray's workers
arrive, too.
"""

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from time import monotonic

ASKED = "HALLUC_PROGRESS"
"""Environment variable that asks for progress: ``plain``, or ``colour`` where reports go to a terminal."""
COLOUR = "colour"
MARK, REPORT, REPORT_END = "halluc-progress ", "halluc-report-begins", "halluc-report-ends"
SECONDS_BETWEEN = 0.25

_told: dict[str, float] = {}
_sampled = [0]
_listeners: list[Callable[[], None]] = []


@dataclass(frozen=True)
class Progress:
    """The progress of one phase.

    Attributes:
        phase: The name of the phase as it is shown. A new name ends the phase before it.
        done: How many units of the phase are done.
        total: How many units there are, None where the number is not known.
    """

    phase: str
    done: int = 0
    total: int | None = None


def is_asked() -> bool:
    """Return whether a parent process reads the progress lines."""
    return bool(os.environ.get(ASKED))


def tell(phase: str, done: int = 0, total: int | None = None) -> None:
    """Report how far a phase is, if a parent process reads it.

    The begin and the end of a phase are always reported, intermediate steps at most at a fixed rate.

    Args:
        phase: The name of the phase, as in :class:`Progress`.
        done: How many units are done.
        total: How many units there are, None where the number is not known.
    """
    if not is_asked():
        return
    now = monotonic()
    if 0 < done != total and now - _told.get(phase, 0.0) < SECONDS_BETWEEN:
        return
    _told[phase] = now
    sys.stderr.write(f"{MARK}{json.dumps(asdict(Progress(phase, done, total)))}\n")
    sys.stderr.flush()


def count_tokens(count: int) -> None:
    """Add to the number of tokens that this process has sampled, and let listeners look at it."""
    _sampled[0] += count
    for listener in _listeners:
        listener()


def tokens_counted() -> int:
    """Return how many tokens this process has sampled."""
    return _sampled[0]


@contextmanager
def heard_by(listener: Callable[[], None]) -> Iterator[None]:
    """Call a function whenever tokens are counted inside the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def parsed(line: str) -> Progress | None:
    """Return the progress that a line reports, None for any other line.

    Ray's prefix, which names the worker, is allowed before it.
    """
    _, found, told = line.partition(MARK)
    if not found:
        return None
    try:
        return Progress(**json.loads(told.rstrip("\x1b[0m \r\n")))
    except (ValueError, TypeError):
        return None


@contextmanager
def report() -> Iterator[None]:
    """Mark what is printed inside the block as the command's report, which is shown whole.

    Without a parent process that reads it, nothing changes. If the block raises, what was printed before the
    error is still shown.
    """
    if not is_asked():
        yield
        return
    shown = _Shown()
    try:
        with redirect_stdout(shown):
            yield
    finally:
        sys.stdout.write(f"{REPORT}\n{shown.getvalue().rstrip()}\n{REPORT_END}\n")
        sys.stdout.flush()


class _Shown(io.StringIO):
    """What is printed; a terminal to whoever asks, if it will be shown on one."""

    def isatty(self) -> bool:
        return os.environ.get(ASKED) == COLOUR
