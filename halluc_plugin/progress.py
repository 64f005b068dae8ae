"""How far a command is, told to whoever started it: marked lines among all that it prints.

``halluc quiet`` asks for them by the variable :data:`ASKED`, reads them, and shows a bar for each phase;
without it nothing is told. They go the way of all output, so those of Ray's workers arrive, too.
"""

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from time import monotonic

ASKED = "HALLUC_PROGRESS"
"""Environment variable that asks for progress: ``plain``, or ``colour`` where reports go to a terminal."""
COLOUR = "colour"
MARK, REPORT, REPORT_END = "halluc-progress ", "halluc-report-begins", "halluc-report-ends"
SECONDS_BETWEEN = 0.25

_told: dict[str, float] = {}


@dataclass(frozen=True)
class Progress:
    """How far a phase is.

    Attributes:
        phase: What is done, as it is shown; a new one ends the one before.
        done: How much of it.
        total: Of how much; None where nobody knows.
    """

    phase: str
    done: int = 0
    total: int | None = None


def is_asked() -> bool:
    """Whether somebody reads what is told."""
    return bool(os.environ.get(ASKED))


def tell(phase: str, done: int = 0, total: int | None = None) -> None:
    """Say how far a phase is, where somebody asked; begin and end of it always, what is between now and then.

    Args:
        phase: As :class:`Progress`, like all that follows.
        done: As above.
        total: As above.
    """
    if not is_asked():
        return
    now = monotonic()
    if 0 < done != total and now - _told.get(phase, 0.0) < SECONDS_BETWEEN:
        return
    _told[phase] = now
    sys.stderr.write(f"{MARK}{json.dumps(asdict(Progress(phase, done, total)))}\n")
    sys.stderr.flush()


def parsed(line: str) -> Progress | None:
    """What a line tells; None for a line that tells nothing. Ray writes the name of its worker before it."""
    _, found, told = line.partition(MARK)
    if not found:
        return None
    try:
        return Progress(**json.loads(told.rstrip("\x1b[0m \r\n")))
    except (ValueError, TypeError):
        return None


@contextmanager
def report() -> Iterator[None]:
    """Mark what is printed inside as the report of the command, which a reader wants to see whole.

    Where nobody asked, nothing is changed. An error inside still shows what was printed before it.
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
