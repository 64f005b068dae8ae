"""Answers in a terminal: colours, labels, and nothing that would act on it."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from halluc_plugin.viewer import EDIT, ERASED, answer, sampled, show
from halluc_plugin.viewer.sources.run import of_log
from halluc_plugin.viewer.visible import visible


def printed(shown):
    """What the terminal gets, without colours."""
    console = Console(file=io.StringIO(), width=100)
    show(shown, console)
    return console.file.getvalue()


def test_colours(logged):
    """Erased tokens and edits have styles of their own, live ones none."""
    text = sampled(of_log(logged))
    styles = {text.plain[span.start : span.end]: span.style for span in text.spans}
    assert styles == {"8": ERASED, "⌫": EDIT}
    assert text.plain == "3+8⌫3↵ "
    assert answer(of_log(logged)).plain == "3+3↵ "


def test_samples_of_a_search_have_lines_of_their_own(logged):
    """A line begins where a sample does."""
    assert sampled(replace(of_log(logged), starts=[0, 4])).plain == "3+8⌫\n3↵ "


def test_a_shown_answer(logged):
    """Step and name, reward, advantage and verdict, problem, trace and answer."""
    shown = of_log(logged)
    for part in (
        "step 7, u_3_0",
        "reward 1  advantage +0.50  acc 1  acc_raw 0  num_events 1",
        "3+8⌫3↵",
        "3+3↵",
    ):
        assert part in printed(shown)
    assert "advantages +0.00 to +0.50" in printed(replace(shown, response_mask=[1] * 6))
    assert "no action learns" in printed(replace(shown, response_mask=[0] * 6))


def test_components_of_the_reward_are_shown(logged):
    """Those that a record has, unweighted, in a line of their own; a record without any has no such line."""
    shown = of_log(logged)
    assert "parts" not in printed(shown)
    told = printed(replace(shown, scores={"acc": 1.0, "outcome": 1.0, "backtrack": -0.25}))
    assert "parts    outcome 1  backtrack -0.25" in told


def test_what_is_not_known_is_left_out(logged):
    """An answer without step, reward and record has neither of them in its lines."""
    shown = replace(of_log(logged), step=None, reward=None, advantages=None, record=None, scores={})
    told = printed(shown)
    assert "u_3_0" in told
    assert not any(word in told for word in ("step", "reward", "advantage"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("12 plus 5", "12 plus 5"),
        ("\x1b[31mred\x1b]0;title\x07", "␛[31mred␛]0;title<U+0007>"),
        ("a\u202eb\u2066c", "a<U+202E>b<U+2066>c"),
        ("a\u200bb\ufeff\u00ad\u3164", "a<U+200B>b<U+FEFF><U+00AD><U+3164>"),
        ("\ud800 \U000e0041", "<U+D800> <U+E0041>"),
        ("数\n⌫\t", "数↵ ⌫⇥"),
    ],
)
def test_what_acts_is_named(text, told):
    """Controls, bidi, zero width, tags and lone surrogates are shown by name, all else as it is."""
    assert visible(text) == told


def test_no_escape_reaches_the_terminal(logged):
    """Prompt, name, tokens and answer of a hostile model are printed without one control character."""
    evil = "\x1b]0;owned\x07\x9b31m\u202e"
    shown = replace(of_log(logged), answer=evil, prompt=evil, tokens=[evil] * 6, text=evil)
    told = printed(shown)
    assert not set(told) & set("\x1b\x07\x9b\u202e")
    assert "␛]0;owned" in told
