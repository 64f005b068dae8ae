"""Progress as it is shown: done, rate and time left; in lines where there is no terminal."""

import io
import re

import pytest
from rich.console import Console

from halluc_plugin import progress_bar
from halluc_plugin.progress import ASKED, count_tokens


@pytest.fixture(autouse=True)
def nobody_asks(monkeypatch):
    """No `halluc quiet` watches."""
    monkeypatch.delenv(ASKED, raising=False)


@pytest.fixture
def clock(monkeypatch):
    """Each item takes four seconds."""
    times = iter(range(0, 4000, 4))
    monkeypatch.setattr(progress_bar, "monotonic", lambda: float(next(times)))


def test_lines_say_done_rate_and_time_left(clock, capsys):
    """A line every ten seconds or more, and one at the end: 3 of 8 after 12 s are 4 s each, 20 s are left."""
    assert list(progress_bar.show_progress(range(8), "problems", 8)) == list(range(8))
    assert capsys.readouterr() == (
        "",
        (
            "problems: 3 of 8, 4.0 s each, 20 s left\n"
            "problems: 6 of 8, 4.0 s each, 8 s left\n"
            "problems: done in 36 s\n"
        ),
    )


def test_lines_come_while_an_item_takes_long(monkeypatch, capsys):
    """An item of forty seconds has lines on the tokens sampled meanwhile: 90 in 12 s, 210 in 24 s, 300."""
    now = [0.0]
    monkeypatch.setattr(progress_bar, "monotonic", lambda: now[0])

    def items():
        for count in (0, 90, 120, 90):
            now[0] += 12.0 if count else 0.0
            count_tokens(count)
        now[0] += 4.0
        yield "answer"

    assert list(progress_bar.show_progress(items(), "problems", 1)) == ["answer"]
    assert capsys.readouterr().err == (
        "problems: 0 of 1, 8 tokens/s\n"
        "problems: 0 of 1, 9 tokens/s\n"
        "problems: 0 of 1, 8 tokens/s\n"
        "problems: done in 40 s, 8 tokens/s\n"
    )


def test_what_takes_no_time_is_no_news(capsys):
    """A phase of less than a second has no line."""
    list(progress_bar.show_progress(range(8), "problems", 8))
    assert capsys.readouterr() == ("", "")


def test_nothing_is_shown_to_who_wants_quiet(capsys):
    """The items are the same."""
    assert list(progress_bar.pass_on(iter("abc"), "letters", 3)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("speed", "told"), [(12.49, "12.5/s"), (1.0, "1.0/s"), (0.125, "8.0 s each")])
def test_a_rate(speed, told):
    """Items a second, or seconds an item where that is less than one."""
    assert progress_bar.rate(speed) == told


@pytest.mark.parametrize("columns", [40, 120])
def test_a_bar_in_a_terminal(columns):
    """It shows done of all, the rate and the time that is left, and is no wider than the terminal."""
    console = Console(file=io.StringIO(), force_terminal=True, width=columns, color_system=None)
    now = iter(range(100000))
    with progress_bar.bar(console) as shown:
        shown.get_time = lambda: float(next(now))
        task = shown.add_task("problems", total=40)
        for _ in range(10):
            shown.advance(task)
        shown.refresh()
    last = console.file.getvalue().split("\r")[-1].split("\n")[0]
    last = re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", last)
    assert len(last) <= columns
    assert "10/40" in last
    assert re.search(r"\d+:\d\d:\d\d|s each|/s", last)
