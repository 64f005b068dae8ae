"""The reference semantics, by hand and against two models that share nothing with it."""

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.edits import EditState, EditVocab, collapse
from halluc_plugin.errors import TraceError

DOT, EOS, BACKTRACK, STEP, RESTART = 0, 9, 10, 11, 12
SMALL = EditVocab(BACKTRACK)
FULL = EditVocab(BACKTRACK, step=STEP, step_delimiters=frozenset({DOT}), restart=RESTART)
SYMBOLS = {".": DOT, "$": EOS, "<": BACKTRACK, "|": STEP, "!": RESTART}


def ids(text):
    """Digits are text, "." ends a step, "$" is EOS, "<" backtracks, "|" steps back, "!" restarts."""
    return [SYMBOLS[c] if c in SYMBOLS else int(c) for c in text]


@pytest.mark.parametrize(
    ("raw", "resolved"),
    [
        ("", ""),
        ("12", "12"),
        ("12<", "1"),
        ("12<3", "13"),
        ("12<3<<", ""),
        ("1234<<5<<6", "16"),
        ("<", ""),
        ("<<1", "1"),
        ("1<<<2", "2"),
        ("12$<", "12"),
        ("12$<<$", "1$"),
        ("12|", ""),
        ("1.2|", "1."),
        ("1.23.|", "1."),
        ("1.23.||", ""),
        ("1.|", ""),
        ("..|", "."),
        ("1.2<|", ""),
        ("1.23<|4", "1.4"),
        ("1.2.3<<|4", "1.4"),
        ("|1", "1"),
        ("1.2!", ""),
        ("!1.2!3", "3"),
        ("1.23<!4.|5", "5"),
    ],
)
def test_collapse_by_hand(raw, resolved):
    """Nested edits, edits at the boundary, EOS, steps with and without an open one, and restarts."""
    assert collapse(ids(raw), FULL) == ids(resolved)


def test_tokens_without_a_role_are_text():
    """Where the vocabulary has no step backtrack, delimiter or restart, those ids append themselves."""
    assert collapse(ids("1.2|!<"), SMALL) == ids("1.2|")


def test_every_push_tells_what_it_erased_and_where_it_stands():
    """In 1.23<4|! each action's erased indices, and depth and parent after it, are as on paper."""
    state, seen = EditState(FULL), []
    for token in ids("1.23<4|!<"):
        erased = state.push(token)
        seen.append((erased, state.depth, state.parent))
    assert seen == [
        ((), 1, 0),
        ((), 2, 1),
        ((), 3, 2),
        ((), 4, 3),
        ((3,), 3, 2),
        ((), 4, 5),
        ((2, 5), 2, 1),
        ((0, 1), 0, -1),
        ((), 0, -1),
    ]


def test_extend_goes_on_from_the_live_text():
    """Pushing a trace in two parts is pushing it at once, with indices that keep counting."""
    state = EditState(FULL).extend(ids("12"))
    assert state.extend(ids("<3")) is state
    assert (state.live_ids, state.live_indices) == ([1, 3], [0, 3])


def test_backtracks_cancel_text_as_brackets_do():
    """Every row of text and backtracks to length 14: delete "xb" anywhere and "b" at the start, repeat."""
    names = "acdefghijklmno"
    for length in range(15):
        for kinds in product((True, False), repeat=length):
            word = "".join(names[i] if text else "b" for i, text in enumerate(kinds))
            row = [ord(letter) for letter in word]
            shorter = re.sub("^b|[^b]b", "", word)
            while shorter != word:
                word, shorter = shorter, re.sub("^b|[^b]b", "", shorter)
            assert collapse(row, EditVocab(ord("b"))) == [ord(letter) for letter in word]


def by_steps(row):
    """The live text as a list of steps: text opens or fills the last, "|" drops it, "<" shortens it."""
    steps = []
    for token in row:
        if token == RESTART:
            steps.clear()
        elif token == STEP:
            del steps[-1:]
        elif token == BACKTRACK:
            if steps and not steps[-1][:-1]:
                steps.pop()
            elif steps:
                steps[-1].pop()
        elif steps and steps[-1][-1] != DOT:
            steps[-1].append(token)
        else:
            steps.append([token])
    return [token for step in steps for token in step]


def test_the_full_grammar_is_a_list_of_steps():
    """Every row of text, delimiter and all three edits to length 7."""
    for length in range(8):
        for row in product((1, DOT, BACKTRACK, STEP, RESTART), repeat=length):
            assert collapse(row, FULL) == by_steps(row)


@given(st.lists(st.sampled_from([1, 2, EOS, DOT, BACKTRACK, STEP, RESTART]), max_size=60))
def test_long_rows_are_a_list_of_steps(row):
    """The same for longer rows with several texts."""
    assert collapse(row, FULL) == by_steps(row)


@pytest.mark.parametrize("run", [lambda: EditState(SMALL).push(-1), lambda: collapse([1, -1], SMALL)])
def test_negative_ids_are_refused(run):
    """An id out of range is padding that was not cut off, and the message says so."""
    with pytest.raises(TraceError, match=r"Token id -1 is negative\. Fix: .*cut padding off first"):
        run()
