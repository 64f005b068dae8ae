"""Show the progress of a command: how much is done, at which rate, and the time left."""

import sys
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft
from rich.text import Text

from halluc_plugin.progress import heard_by, is_asked, tell, tokens_counted

SECONDS_BETWEEN_LINES = 10.0
"""Seconds between two lines if standard error is not a terminal."""
SECONDS_WORTH_A_LINE = 1.0
"""Duration in seconds from which on a finished phase is reported there."""
BAR_WIDTH = 30
WORDS = 60
"""Width in columns of the words next to a bar."""


class Rate(ProgressColumn):
    """The rate of a progress bar, in items per second, or seconds per item if they are slow."""

    def render(self, task: Task) -> Text:
        """Return the rate as text, empty while it is not known."""
        speed = task.finished_speed or task.speed
        return Text("" if not speed else rate(speed))


class TokenRate(ProgressColumn):
    """The tokens that were sampled since the bar appeared, per second; empty if none are counted."""

    def __init__(self) -> None:
        super().__init__()
        self._tokens = _Tokens(monotonic())

    def render(self, task: Task) -> Text:  # noqa: ARG002 - rich's interface
        """Return the rate as text."""
        return Text(self._tokens.told(monotonic()))


class _Tokens:
    """Counts from its making on."""

    def __init__(self, now: float) -> None:
        self._before, self._started = tokens_counted(), now

    def told(self, now: float) -> str:
        """Tokens a second, as text; empty if there are none."""
        count, seconds = tokens_counted() - self._before, now - self._started
        return f"{count / seconds:.0f} tokens/s" if count and seconds else ""


def rate(speed: float) -> str:
    """Return a number of items per second as text, such as ``12.5/s`` or ``8.0 s each``.

    Args:
        speed: Number of items per second, above 0.
    """
    return f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each"


def pass_on(items: Iterable[Any], what: str, total: int) -> Iterable[Any]:  # noqa: ARG001 - as the other
    """Pass the items on without showing anything, for quiet commands."""
    return items


def show_progress(items: Iterable[Any], what: str, total: int) -> Iterable[Any]:
    """Yield the items behind a progress bar on standard error.

    Where standard error is a file, a line is written now and then instead. Under ``halluc quiet`` that
    command shows the bar.

    Args:
        items: The items to pass on.
        what: What the items are, such as "problems answered".
        total: Number of items.
    """
    if is_asked():
        return _told_on(items, what, total)
    console = Console(stderr=True)
    if console.is_terminal:
        return _behind_a_bar(items, what, total, console)
    return _behind_lines(items, what, total, console)


def bar(console: Console) -> Progress:
    """Return a progress bar that fits the width of the console."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(max(4, min(BAR_WIDTH, console.width - WORDS))),
        MofNCompleteColumn(),
        Rate(),
        TokenRate(),
        TimeLeft(),
        console=console,
        # What is printed meanwhile goes above the bar, but not where it is written to a file or a pipe.
        redirect_stdout=sys.stdout.isatty(),
    )


def _told_on(items: Iterable[Any], what: str, total: int) -> Iterator[Any]:
    tell(what, 0, total)
    for done, item in enumerate(items, 1):
        yield item
        tell(what, done, total)


def _behind_a_bar(items: Iterable[Any], what: str, total: int, console: Console) -> Iterator[Any]:
    with bar(console) as shown:
        yield from shown.track(items, total=total, description=what)


def _behind_lines(items: Iterable[Any], what: str, total: int, console: Console) -> Iterator[Any]:
    lines = _Lines(what, total, console)
    with heard_by(lines.tell):
        for item in items:
            yield item
            lines.done += 1
            lines.tell()
    lines.end()


class _Lines:
    """Lines about the progress of one phase, some seconds apart."""

    def __init__(self, what: str, total: int, console: Console) -> None:
        self._what, self._total, self._console = what, total, console
        self._started = self._told = monotonic()
        self._tokens = _Tokens(self._started)
        self.done = 0

    def tell(self) -> None:
        """Print a line if it is time."""
        now = monotonic()
        if now - self._told < SECONDS_BETWEEN_LINES or self.done >= self._total:
            return
        self._told = now
        parts = [f"{self.done} of {self._total}"]
        if self.done:
            speed = self.done / (now - self._started)
            parts += [rate(speed), f"{(self._total - self.done) / speed:.0f} s left"]
        self._print(", ".join([*parts[:2], *filter(None, [self._tokens.told(now)]), *parts[2:]]))

    def end(self) -> None:
        """Print how long it took, unless that was a moment."""
        now = monotonic()
        taken = now - self._started
        if taken >= SECONDS_WORTH_A_LINE:
            self._print(", ".join([f"done in {taken:.0f} s", *filter(None, [self._tokens.told(now)])]))

    def _print(self, text: str) -> None:
        self._console.out(f"{self._what}: {text}", highlight=False)
