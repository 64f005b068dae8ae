"""Turns of revisions: which trajectories there are, what a scorer reads of them, and equation 14 by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.data.value_files import ValueRow
from halluc_plugin.data.value_turns import Returns, draw_trajectories, turn_rows, with_turns
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.scratch.tokenizer import number_tokenizer

TOKENIZER = number_tokenizer()
EOS = TOKENIZER.eos_token_id
PROMPT = TOKENIZER.encode("1 +1 +1 mod 10\n")


def answer(*lines, values, correct):
    """An answer to the problem."""
    steps = [TOKENIZER.encode(line) for line in lines]
    return ValueRow("halluc/chain", PROMPT, [*steps[:-1], [*steps[-1], EOS]], values, correct, rollouts=4)


RIGHT = answer("1+1=2\n", "2+1=3\n", values=[0.5, 0.8, 1.0], correct=True)
WRONG = answer("1+1=3\n", "3+1=4\n", values=[0.5, None, 0.0], correct=False)


def made(rows, **settings):
    """Turns by the text of their context: the target, and whether the turn is right."""
    found = turn_rows(rows, TOKENIZER, step_delimiter="\n", **settings)
    return {(TOKENIZER.decode(row.prompt_ids[len(PROMPT) :]), row.correct): row.values for row in found}


SAID_NO = "1+1=3\n3+1=4\nIs the turn correct? no\n"
SAID_YES = "1+1=2\n2+1=3\nIs the turn correct? yes\n"


def test_the_context_is_the_earlier_turns_and_their_verdicts():
    """Without their EOS; the question stands on a line of its own, whatever a turn ends with."""
    open_end = [TOKENIZER.encode("1+1=2\n"), [*TOKENIZER.encode("2+1=3"), EOS]]
    turns = [(WRONG.step_ids, False), (open_end, True)]
    ids = with_turns(PROMPT, turns, TOKENIZER, step_delimiter="\n")
    assert ids[: len(PROMPT)] == PROMPT
    assert TOKENIZER.decode(ids[len(PROMPT) :]) == SAID_NO + SAID_YES
    assert EOS not in ids
    assert with_turns(PROMPT, [], TOKENIZER, step_delimiter="\n") == PROMPT


def test_a_turn_says_which_ids_are_the_problems_own():
    """All turns of a problem have its prompt in front, however many turns stand behind it."""
    rows = turn_rows([RIGHT, WRONG], TOKENIZER, step_delimiter="\n")
    assert [row.problem_ids for row in rows] == [PROMPT] * 4
    assert sorted(row.turn_ids > 0 for row in rows) == [False, False, True, True]


def test_targets_are_those_of_equation_14():
    """Two answers, so each order of one or two: first turns average over being last and being followed.

    A turn of S steps is worth γ^(S - t) v_t, and a right one of two steps behind it γ^(S - t + 2) more.
    """
    g = 0.5
    capped = made([RIGHT, WRONG], revisions=1, discount=g, returns=Returns.CAPPED)
    own = [g**2 * 0.5, g * 0.8, 1.0]
    assert set(capped) == {("", True), ("", False), (SAID_NO, True), (SAID_YES, False)}
    assert capped[SAID_NO, True] == pytest.approx(own)
    assert capped["", True] == pytest.approx(own)  # a wrong turn behind it adds nothing
    assert capped[SAID_YES, False] == [pytest.approx(g**2 * 0.5), None, 0.0]
    alone, followed = (g**2 * 0.5, 0.0), (g**2 * 0.5 + g**4, g**2)
    mean = [(a + f) / 2 for a, f in zip(alone, followed, strict=True)]
    assert capped["", False] == [pytest.approx(mean[0]), None, pytest.approx(mean[1])]
    normalised = made([RIGHT, WRONG], revisions=1, discount=g)
    assert normalised["", True] == pytest.approx([(value + value / 2) / 2 for value in own])
    assert normalised["", False][2] == pytest.approx((0.0 + g**2 / 2) / 2)
    turn = made([RIGHT, WRONG], revisions=1, returns=Returns.TURN)
    assert turn["", True] == turn[SAID_NO, True] == RIGHT.values
    assert turn["", False] == turn[SAID_YES, False] == WRONG.values


def test_the_sum_is_capped():
    """A right turn that a right one follows is worth 1, not 2; on average with nothing left out, 1 too."""
    for returns in (Returns.CAPPED, Returns.NORMALISED):
        found = made([RIGHT, RIGHT, RIGHT], returns=returns)
        assert all(values[-1] == 1.0 for values in found.values())


def test_without_revisions_the_rows_are_those_given():
    """One turn each, and what is known of it; rollouts and order are kept."""
    rows = [RIGHT, WRONG]
    assert turn_rows(rows, TOKENIZER, step_delimiter="\n", revisions=0) == rows


@given(
    answers=st.integers(1, 7), revisions=st.integers(0, 5), most=st.integers(1, 120), seed=st.integers(0, 9)
)
def test_trajectories_are_distinct_and_as_many_as_asked_for(answers, revisions, most, seed):
    """None has an answer twice or too many turns; fewer than asked for are there where there are no more."""
    found = draw_trajectories(answers, revisions, most, np.random.default_rng(seed))
    assert all(before < after for before, after in pairwise(found))
    assert all(len(set(t)) == len(t) <= min(answers, revisions + 1) for t in found)
    assert all(0 <= i < answers for t in found for i in t)
    total, ways = 0, 1
    for turns in range(min(answers, revisions + 1)):
        ways *= answers - turns
        total += ways
    assert len(found) == min(most, total)


def test_problems_do_not_share_trajectories():
    """Answers to another problem, or of another source, are revisions of nothing here."""
    other = ValueRow("halluc/chain", PROMPT[1:], RIGHT.step_ids, RIGHT.values, correct=True)
    rows = turn_rows([WRONG, other, RIGHT], TOKENIZER, step_delimiter="\n")
    assert [row for row in rows if row.prompt_ids[: len(PROMPT) - 1] == PROMPT[1:]] == [other]


def test_single_answers_cannot_be_revised():
    """No problem has two, and revisions are asked for."""
    with pytest.raises(DataError, match="None of 1 problems has two answers"):
        turn_rows([WRONG], TOKENIZER, step_delimiter="\n")


@pytest.mark.parametrize(
    "bad", [{"revisions": -1}, {"trajectories": 0}, {"discount": 1.5}, {"discount": -0.1}]
)
def test_numbers_out_of_range_are_refused(bad):
    """No trajectory, fewer than no revisions, a discount outside [0, 1]."""
    with pytest.raises(SettingsError):
        turn_rows([RIGHT], TOKENIZER, step_delimiter="\n", **bad)
