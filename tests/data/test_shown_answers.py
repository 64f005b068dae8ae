"""Answers shown behind a prompt, and traces that teach to read them, by hand."""

import pytest

from halluc_plugin.data.shown_answers import reading_rows, shown
from halluc_plugin.data.value_files import ValueRow
from halluc_plugin.errors import DataError

EOS, ASK = 0, (8,)


def answer(*ids, right, prompt=(5,), turns=0):
    """An answer of one step."""
    return ValueRow("halluc/chain", list(prompt), [list(ids)], [None, float(right)], right, turn_ids=turns)


def made(*rows, shown_at_most=2, most=1, seed=0):
    """The traces, as pairs of texts of ids."""
    found = reading_rows(rows, ASK, frozenset({EOS}), shown_at_most=shown_at_most, most=most, seed=seed)
    return [tuple("".join(map(str, ids)) for ids in (row.prompt_ids, row.response_ids)) for row in found]


def test_answers_stand_between_prompt_and_request():
    """In their order; without any there is no request."""
    assert shown([5], [(1, 0), (2, 0)], ASK) == (5, 1, 0, 2, 0, 8)
    assert shown([5], [], ASK) == (5,)


def test_a_right_answer_is_learned_behind_what_is_shown_and_alone():
    """Of a wrong and a right one, the right one is learned, whichever are shown."""
    wrong, right = answer(1, EOS, right=False), answer(2, EOS, right=True)
    behind = {made(wrong, right, seed=seed)[0] for seed in range(40)}
    assert behind == {("5108", "20"), ("5208", "20"), ("510208", "20"), ("520108", "20")}
    assert all(made(wrong, right, seed=seed)[1] == ("5", "20") for seed in range(9))
    assert made(wrong, right, seed=3) == made(wrong, right, seed=3)


def test_the_first_right_one_that_is_shown_is_learned():
    """Not another one that is not there, nor a later one."""
    rows = [answer(n, EOS, right=n > 1) for n in (1, 2, 3)]
    for prompt, learned in made(*rows, shown_at_most=3, most=40)[:-1]:
        before = [token for token in prompt[1:-1:2] if token != "1"]
        assert not before or learned == f"{before[0]}0"


def test_problems_without_a_right_answer_teach_nothing():
    """Nor do rows of turns, nor answers that did not end."""
    wrong, turn = answer(1, EOS, right=False, prompt=(6,)), answer(3, EOS, right=True, turns=1)
    found = made(wrong, turn, answer(2, 4, right=True), answer(2, EOS, right=True))
    assert found == [("5208", "20"), ("5", "20")]
    with pytest.raises(DataError, match="No problem has a right answer that ends"):
        made(wrong)


def test_an_empty_request_is_refused():
    """Nothing would tell shown answers from the one that is asked for."""
    with pytest.raises(DataError, match="request behind shown answers is empty"):
        reading_rows([], (), frozenset({EOS}), shown_at_most=1, most=1, seed=0)
