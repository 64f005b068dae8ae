"""Errors of streams by class, what they visit, and what two of them have in common, all by hand."""

import math

import pytest

from halluc_plugin.errors import SettingsError
from halluc_plugin.tasks.countdown.published import PublishedVerifier, verify_as_published
from halluc_plugin.tasks.countdown.streams.agreement import correctness_correlation, rating, state_alignment
from halluc_plugin.tasks.countdown.streams.reading import End, StreamError, read_stream
from halluc_plugin.tasks.countdown.verifier import CountdownVerifier
from halluc_plugin.verifiers import Outcome

PROBLEM = {"numbers": [2, 3, 9], "target": 15}
VERIFIER = CountdownVerifier()
RIGHT = """2 3 9:
3-2=1 9 1
9 1:3-2=1
9+1=10,15!
2 3 9:
2*3=6 9 6
9 6:2*3=6
9+6=15,15=
"""
ARITHMETIC, EXPLORATION, FORMATTING, OTHER = StreamError


def test_a_right_stream():
    """It has no errors, and every state that it wrote was visited."""
    read = read_stream(PROBLEM, RIGHT)
    assert (read.end, dict(read.errors), read.explored) == (End.CLAIMED, {}, 4)
    assert read.states == {(2, 3, 9), (1, 9), (10,), (6, 9), (15,)}


@pytest.mark.parametrize(
    ("line", "wrong", "errors"),
    [
        ("9+1=10,15!", "9+1=11,15!", {ARITHMETIC}),
        ("9+1=10,15!", "9+1=10,16!", {OTHER}),
        ("9+1=10,15!", "9+1=10,15=", {OTHER}),
        ("9+1=10,15!", "9+2=11,15!", {OTHER}),
        ("9+1=10,15!", "1-9=8,15!", {ARITHMETIC}),
        ("9+1=10,15!", "9/0=1,15!", {ARITHMETIC, OTHER}),
        ("9+1=10,15!", "9+1=10", {FORMATTING}),
        ("2*3=6 9 6", "2*3=6 9 3 6", {OTHER}),
        ("2*3=6 9 6", "3-2=1 9 1", {EXPLORATION}),
        ("9 6:2*3=6", "9 6:3*3=6", {EXPLORATION}),
        ("9 1:3-2=1", "9 2:3-2=1", {EXPLORATION}),
    ],
)
def test_errors_by_hand(line, wrong, errors):
    """One wrong line has the errors of its class, whatever follows from it in other lines."""
    before, written, _ = RIGHT.replace(line, wrong).rpartition(wrong)
    read = read_stream(PROBLEM, f"{before}{written}\n")
    assert set(read.errors) == errors
    assert set(read.errors.values()) == {1}


def test_a_state_with_an_error_is_not_visited():
    """Alignment leaves out what was written wrong, and keeps what is right behind it."""
    read = read_stream(PROBLEM, RIGHT.replace("2*3=6 9 6", "2*3=7 9 7").replace("9 6:2*3=6", "9 7:2*3=7"))
    assert (6, 9) not in read.states
    assert (7, 9) not in read.states
    assert (1, 9) in read.states


@pytest.mark.parametrize(
    ("text", "end"),
    [(RIGHT, End.CLAIMED), ("2 3 9:\n!\n", End.GAVE_UP), ("2 3 9:\n2*3=6 9 6\n9 6", End.CUT), ("", End.CUT)],
)
def test_ends(text, end):
    """A stream claims the target, gives up, or does neither."""
    assert read_stream(PROBLEM, text).end is end


def test_the_path_decides():
    """The verifier judges the claimed path: dead ends and what is behind the claim do not count."""
    assert VERIFIER.verify(PROBLEM, RIGHT) is Outcome.CORRECT
    assert VERIFIER.verify(PROBLEM, RIGHT.replace("9+1=10,15!", "9+1=11,15!")) is Outcome.CORRECT
    assert VERIFIER.verify(PROBLEM, f"{RIGHT}nonsense\n9+6=99,15=\n") is Outcome.CORRECT
    assert VERIFIER.canonical(RIGHT) == "2*3=6\n9+6=15"
    assert VERIFIER.verify(PROBLEM, RIGHT.replace("9 6:2*3=6", "9 6:2+3=6")) is Outcome.WRONG
    assert VERIFIER.verify(PROBLEM, "2 3 9:\n2*3=6 9 6\n9+6=15,15=\n") is Outcome.WRONG  # not from 9 6
    assert VERIFIER.verify(PROBLEM, RIGHT.replace("15=", "15!")) is Outcome.NO_ANSWER
    assert VERIFIER.verify(PROBLEM, "2 3 9:\n!\n") is Outcome.NO_ANSWER


def test_the_published_verifier_lets_a_number_be_used_again():
    """A path that uses 9 twice, and 2 never, is right by the released code alone."""
    reused = "2 3 9:\n9/3=3 2 3\n2 3:9/3=3\n9+3=12 2 12\n2 12:9/3=3,9+3=12\n12+3=15,15=\n"
    assert VERIFIER.verify(PROBLEM, reused) is Outcome.WRONG
    path = VERIFIER.canonical(reused)
    published = verify_as_published(PublishedVerifier.STREAM_OF_SEARCH, PROBLEM, path)
    assert published is Outcome.CORRECT


@pytest.mark.parametrize(
    ("prefix", "fine"),
    [
        ("2 3", True),
        ("2 3 9:", True),
        ("2 3 8", False),
        ("2 3 9:\n3-2=1 9 1\n9 1:3", True),
        ("2 3 9:\n3-2=1 9 1\n9 1:3-2=1\n9+1=10,15!\n", True),
        (RIGHT.rstrip(), True),
        (RIGHT.replace("9 6:2*3=6", "9 6:2+3=6"), False),
        ("2 3 9:\n!\n", False),
        ("2 3 9:\nperhaps", False),
        ("2 3 9:\nperhaps\n", False),
    ],
)
def test_prefixes(prefix, fine):
    """A stream can go on to the target until it ends, claims a wrong path, or leaves its language."""
    assert VERIFIER.prefix_ok(PROBLEM, prefix) is fine


def test_alignment_by_hand():
    """Shared states, of the larger number of states; the same whichever comes first."""
    one, other = {(2, 3, 9), (6, 9), (1, 9), (15,)}, {(2, 3, 9), (6, 9)}
    assert state_alignment(one, other) == state_alignment(other, one) == 0.5
    assert state_alignment(one, one) == 1
    with pytest.raises(SettingsError, match="no states"):
        state_alignment(one, set())


def test_correlation_by_hand():
    """Of what is solved: 1 for the same problems, -1 for the others, nan where nothing varies."""
    assert correctness_correlation([True, False, True], [True, False, True]) == pytest.approx(1)
    assert correctness_correlation([True, False], [False, True]) == pytest.approx(-1)
    # Means 1/2 and 3/4: covariance 1/2 - 3/8, variances 1/4 and 3/16.
    found = correctness_correlation([True, True, False, False], [True, True, True, False])
    assert found == pytest.approx(1 / 8 / math.sqrt(1 / 4 * 3 / 16))
    assert math.isnan(correctness_correlation([True, True], [True, False]))
    with pytest.raises(SettingsError, match="same two problems"):
        correctness_correlation([True], [True])


def test_rating_by_hand():
    """Three numbers have 3 pairs x 4 operations x 4 equations: the paper's 48."""
    assert rating(11, 3) == pytest.approx(1 - 12 / 48)
    assert rating(11, 4) == pytest.approx(1 - 12 / 1152)
    assert rating(100, 3) == 0
