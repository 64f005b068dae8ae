"""Traces of two attempts from judged answers: which, in which order, and what is left out of the loss."""

import numpy as np
import pytest

from halluc_plugin.data.attempt_turns import attempt_rows, question_rows
from halluc_plugin.data.value_files import ValueRow
from halluc_plugin.errors import DataError

EOS, ASK = 0, (7, 8)


def answer(*ids, right, prompt=(5,), turns=0):
    """An answer of one step."""
    return ValueRow("halluc/chain", list(prompt), [list(ids)], [None, float(right)], right, turn_ids=turns)


def made(*rows, most=9, seed=0):
    """The traces, as ids and as what is erased."""
    found = attempt_rows(rows, ASK, frozenset({EOS}), most=most, seed=seed)
    return [("".join(map(str, row.response_ids)), row.erased) for row in found]


def test_wrong_and_right_first_attempts_by_hand():
    """A wrong one is followed by a right one, and is out of the loss; a right one is given again."""
    found = made(answer(1, EOS, right=False), answer(2, EOS, right=True))
    assert found == [
        ("107820", [True] * 4 + [False] * 2),
        ("207820", [False] * 2 + [True] * 2 + [False] * 2),
    ]


def test_wrong_and_right_ones_take_turns_up_to_the_most():
    """Of three wrong and two right answers: wrong, right, wrong."""
    rows = [answer(n, EOS, right=n > 3) for n in (1, 2, 3, 4, 6)]
    found = made(*rows, most=3)
    assert [erased[0] for _, erased in found] == [True, False, True]
    assert made(*rows, most=3) == found
    assert any(made(*rows, most=3, seed=seed) != found for seed in (1, 2, 3))


def test_problems_without_a_right_answer_teach_nothing():
    """Nor do rows of turns, nor answers that did not end."""
    wrong, turn = answer(1, EOS, right=False, prompt=(6,)), answer(3, EOS, right=True, turns=1)
    assert made(wrong, turn, answer(2, 4, right=True), answer(2, EOS, right=True)) == [
        ("207820", [False] * 2 + [True] * 2 + [False] * 2)
    ]
    with pytest.raises(DataError, match="No problem has a right answer that ends"):
        made(wrong)


def test_an_empty_request_is_refused():
    """Two attempts without anything between them are one."""
    with pytest.raises(DataError, match="request between two attempts is empty"):
        attempt_rows([answer(2, EOS, right=True)], (), frozenset({EOS}), most=1, seed=0)


def test_second_attempts_are_drawn():
    """Each right answer comes up behind some wrong one."""
    rows = [answer(n, EOS, right=n > 4) for n in range(1, 7)]
    second = {text[-2] for seed in np.arange(20) for text, erased in made(*rows, seed=int(seed)) if erased[0]}
    assert second == {"5", "6"}


class Letters:
    """A tokenizer of digits, to which 9 and 8 are one text."""

    def decode(self, ids):
        """The ids, joined."""
        return "".join(map(str, ids)).replace("9", "8")

    def encode(self, text, add_special_tokens):
        """The ids of a text."""
        return list(map(int, text))


def asked(*rows, prompts=((5,),)):
    """The questions of problems with these prompts."""
    problems = [{"data_source": "x", "reward_model": {}, "extra_info": {"answer": 3}} for _ in prompts]
    return question_rows(problems, prompts, rows, request=ASK, ends=frozenset({EOS}), tokenizer=Letters())


def test_questions_by_hand():
    """The first answer that ends, behind its prompt and before the request; others are left out."""
    rows = [answer(4, right=True), answer(1, EOS, right=False), answer(2, EOS, right=True)]
    (row,) = asked(*rows, prompts=((5,), (6,)))
    assert row["prompt"] == [{"role": "user", "content": "51078"}]
    assert row["extra_info"] == {"answer": 3, "first_correct": False}


def test_questions_that_cannot_be_asked_are_refused():
    """Texts of other ids, and problems without answers."""
    with pytest.raises(DataError, match="other ids once it is written as text"):
        asked(answer(9, EOS, right=True))
    with pytest.raises(DataError, match="None of the problems has an answer"):
        asked(answer(1, EOS, right=True), prompts=((6,),))
