"""Votes: which answers are one, so that it is right or wrong as a whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.metrics import ProblemSamples
from halluc_plugin.tasks.addition.verifier import AdditionVerifier
from halluc_plugin.tasks.chain.verifier import ChainVerifier
from halluc_plugin.tasks.countdown.verifier import CountdownVerifier
from halluc_plugin.tasks.dag.verifier import DagVerifier
from halluc_plugin.tasks.gsm8k.verifier import Gsm8kVerifier
from halluc_plugin.verifiers import FunctionVerifier, Outcome, whole_vote

CHAIN = {"modulus": 17, "start": 15, "operations": ["-2", "-3"], "form": "steps"}
SUM = {"base": 10, "operation": "+", "a": [5, 0, 7], "b": [2, 4, 6], "form": "direct"}
GRAPH = {"definitions": ["c=a+b", "a=5", "b=7"], "query": "c", "modulus": 23}


def ends_with(data_source, solution_str, ground_truth, extra_info):
    """A scoring function that reads the end of a text, blanks included."""
    return float(solution_str.endswith(ground_truth))


JUDGED = {
    "countdown": (CountdownVerifier(), {"numbers": [3, 5, 7], "target": 22}, "3*5=15\n15+7=22\n"),
    "chain": (ChainVerifier(), CHAIN, "15-2=13\n13-3=10\n"),
    "chain, direct": (ChainVerifier(), CHAIN | {"form": "direct"}, "13 10\n"),
    "addition": (AdditionVerifier(), SUM, "7 5 3"),
    "dag": (DagVerifier(), GRAPH, "a=5\nb=7\nc=5+7=12\n"),
    "gsm8k": (Gsm8kVerifier(), "22", "3*5=15\n#### 22"),
    "scorer": (FunctionVerifier(ends_with, "x"), "22", "15 22"),
}


def vote(kind, answer):
    """What an answer counts as."""
    verifier, problem, _ = JUDGED[kind]
    return whole_vote(verifier, problem, answer)


@pytest.mark.parametrize("kind", JUDGED)
@given(data=st.data())
def test_equal_votes_are_judged_alike(kind, data):
    """Whatever blanks and newlines are put into a right answer, or left out of it."""
    verifier, problem, right = JUDGED[kind]
    assert verifier.verify(problem, right) is Outcome.CORRECT
    answers = [right]
    for _ in range(8):
        characters = list(data.draw(st.sampled_from(answers)))
        at = data.draw(st.integers(0, len(characters)))
        characters[at : at + data.draw(st.integers(0, 1))] = data.draw(st.sampled_from(["", " ", "\n", "1"]))
        answers.append("".join(characters))
    samples = ProblemSamples(
        answers=tuple(vote(kind, answer) for answer in answers),
        correct=tuple(verifier.verify(problem, answer) is Outcome.CORRECT for answer in answers),
        tokens=(1,) * len(answers),
    )
    assert samples.correct[0]


@pytest.mark.parametrize(
    ("kind", "one", "other", "same"),
    [
        ("countdown", "3*5=15\n15+7=22\n", "3 * 5 = 15\n\n15 + 7 = 22", True),
        ("countdown", "3*5=15\n15+7=22\n", "5*3=15\n15+7=22\n", False),
        ("chain", "15-2=13\n13-3=10\n", "15-2=13\n13-3=10", True),
        ("chain", "15-2=13\n13-3=10\n", "15-2=1\n313-3=10\n", False),  # another line break is another answer
        ("chain, direct", "13 10", "1310", False),
        ("gsm8k", "#### 22", "####22", False),  # the second holds no answer
    ],
)
def test_which_differences_count(kind, one, other, same):
    """Those that the verifier does not see do not; all others do."""
    assert (vote(kind, one) == vote(kind, other)) is same


@pytest.mark.parametrize("kind", ["countdown", "chain", "gsm8k", "scorer"])
def test_what_holds_no_answer_abstains(kind):
    """It has no vote."""
    assert vote(kind, "  ") is None
