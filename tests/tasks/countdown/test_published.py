"""The published Countdown verifiers, with the faults they are known for."""

import pytest

from halluc_plugin.tasks.countdown.published import PublishedVerifier, verify_as_published
from halluc_plugin.tasks.countdown.verifier import CountdownVerifier
from halluc_plugin.verifiers import Outcome

C, W, N = Outcome.CORRECT, Outcome.WRONG, Outcome.NO_ANSWER


@pytest.mark.parametrize(
    ("numbers", "target", "answer", "expected"),  # ours, Self-Backtracking's, Stream of Search's
    [
        ([3, 5, 7], 22, "3*5=15\n15+7=22\n", (C, C, C)),
        ([3, 5, 7], 22, "3*5=15\n15+7=23\n", (W, W, W)),
        ([3, 5, 7], 15, "3*5=15\n", (W, C, C)),  # a number is left over
        ([2, 2, 5], 9, "2+2=4\n4+5=9\n", (C, C, C)),
        ([2, 2, 5], 12, "2*5=10\n10+2=12\n", (C, W, C)),  # the equal copy went with the first
        ([2, 5, 9], 4, "2+2=4\n", (W, C, C)),  # one copy as both operands
        ([3, 5, 7], 24, "3*5=15\n15+7=22\n5-3=2\n22+2=24\n", (W, W, C)),  # numbers used up are used again
        ([7, 2, 1], 3, "7/2=3\n", (W, C, W)),  # the remainder is dropped
        ([3, 5, 7], 22, "3*5=15 so\n15+7=22 done\n", (N, C, N)),  # text behind an equation
        ([3, 5, 7], 22, "no idea\n", (N, N, N)),
        ([3, 0, 7], 22, "3/0=0\n", (W, W, W)),
    ],
)
def test_verdicts_by_hand(numbers, target, answer, expected):
    """Each verifier's verdict beside ours, fault by fault."""
    problem = {"numbers": numbers, "target": target}
    published = [verify_as_published(which, problem, answer) for which in PublishedVerifier]
    assert (CountdownVerifier().verify(problem, answer), *published) == expected
