"""Every task keeps the contract, and verdicts that contradict one another are noticed."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halluc_plugin.tasks import names
from halluc_plugin.tasks.contract import Answered, checks, checks_of
from halluc_plugin.verifiers import Outcome
from tests.tasks.counting import (
    TASK,
    Counting,
    broken_by,
    is_ok,
    is_right,
    judged,
)

GIVEN = {"gsm8k": [Answered("72", "So it is\n#### 72"), Answered("-1072", "#### 5\n#### -1,072")]}


@pytest.mark.parametrize("name", names())
@settings(max_examples=2)
@given(seed=st.integers(0, 2**31))
def test_every_task_keeps_its_contract(name, seed):
    """Whatever a seed draws: verdicts, problems, rows, traces and evaluation fit together."""
    for check in checks(name, GIVEN.get(name, ())):
        check(seed)


def test_what_is_asked_follows_from_what_is_declared():
    """A task that only judges is held to its verdicts, and to right answers if it is given some."""
    asked = {name: [str(check) for check in checks(name)] for name in ("gsm8k", "chain")}
    assert asked["gsm8k"] == ["sources_lead_to_the_task", "any_text_is_judged"]
    assert [str(check) for check in checks("gsm8k", GIVEN["gsm8k"])] == [*asked["gsm8k"], "answers_are_right"]
    assert len(asked["chain"]) == len(set(asked["chain"])) == 11


def test_the_example_keeps_it():
    """All but that it is not registered: each check below fails for what it changes alone."""
    for check in checks_of(TASK):
        if str(check) != "sources_lead_to_the_task":
            check(5)
    assert "'test/counting' are not its" in broken_by("sources_lead_to_the_task", TASK)


VERDICTS = {
    "a verdict that is no outcome": (
        "any_text_is_judged",
        {"verify": lambda self, problem, answer: is_right(problem, answer)},
        "is False, no Outcome",
    ),
    "an error": (
        "any_text_is_judged",
        {"verify": lambda self, problem, answer: Outcome.CORRECT if answer[0] == "1" else Outcome.WRONG},
        r"its verifier fails at '' \(IndexError\)",
    ),
    "a canonical form that is judged otherwise": (
        "any_text_is_judged",
        {"canonical": lambda self, answer: "1"},
        "canonical form is not",
    ),
    "a reference that is wrong": (
        "answers_are_right",
        {"verify": lambda self, problem, answer: Outcome.WRONG},
        "problem {'from': .*the reference answer '.*' is not right",
    ),
    "an empty text that is right": (
        "answers_are_right",
        {"verify": lambda self, problem, answer: Outcome.CORRECT},
        "the empty text is right",
    ),
    "one text that is always right": (
        "answers_are_right",
        {"verify": lambda self, problem, answer: Outcome.CORRECT if answer else Outcome.WRONG},
        "is right for every problem",
    ),
    "an end that is not found": (
        "answers_are_right",
        {"final_answer": lambda self, answer: None, "verify_final": Counting.verify},
        "comes to, None, is not right",
    ),
    "a prefix of the reference that is not ok": (
        "prefixes_of_right_answers_are_ok",
        {"prefix_ok": lambda self, problem, prefix: is_ok(problem, prefix) and "\n" not in prefix[:-1]},
        "is right, but its prefix .* is not ok",
    ),
    "a prefix of another right answer that is not ok": (
        "spoiled_answers_are_wrong",
        {"prefix_ok": lambda self, problem, prefix: is_ok(problem, prefix) and prefix[-1:] != " "},
        "is right, and not ok|not ok, but a longer one is",
    ),
    "a prefix from which no answer is in reach": (
        "prefixes_of_right_answers_are_ok",
        {"prefix_ok": lambda self, problem, prefix: is_ok(problem, prefix) or prefix == "t"},
        "the prefix 't' is ok, but no right answer begins with it",
    ),
    "a prefix that is ok again": (
        "spoiled_answers_are_wrong",
        {"prefix_ok": lambda self, problem, prefix: is_ok(problem, prefix) or len(prefix) == 9},
        "is not ok, but a longer one is",
    ),
    "prefixes that are all ok": (
        "spoiled_answers_are_wrong",
        {"prefix_ok": lambda self, problem, prefix: True},
        "whatever is changed in an answer, every prefix is still ok",
    ),
    "an answer that is right and not ok": (
        "spoiled_answers_are_wrong",
        {"verify": lambda self, problem, answer: Outcome.CORRECT if answer else Outcome.WRONG},
        "is right, and not ok",
    ),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verdicts_that_contradict_one_another(case):
    """Whatever a verifier says that does not fit, one check names with the problem."""
    check, methods, said = VERDICTS[case]
    assert re.search(said, broken_by(check, judged(**methods)))
