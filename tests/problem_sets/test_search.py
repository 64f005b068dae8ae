"""What the oracle says of the steps of an answer."""

import pytest

from halluc_plugin.problem_sets.search import SearchVerifier
from halluc_plugin.tasks.word.automaton import WordSearch
from halluc_plugin.verifiers import StepKind

VERIFIER = SearchVerifier(WordSearch(), ("halluc/word",))
# a rotates A, B, C; b swaps A and B: "a?" from A to C is AB, then b leads to A and a to C.
PROBLEM = {
    "word": "a?", "starts": "AC", "goal": "C", "maps": ["BCA", "BAC"], "check": "left-out", "answers": "any",
}  # fmt: skip
LIVE, SLIP, DEAD = StepKind


@pytest.mark.parametrize(
    ("lines", "judged"),
    [
        (["AB", "aC"], [(LIVE, False, (1, 1)), (LIVE, False, (1, 1))]),
        (["AB", "bA"], [(LIVE, False, (1, 1)), (DEAD, True, (1, 1))]),
        (["CA"], [(DEAD, False, (1, 1))]),
        (["CA", "aB"], [(DEAD, False, (1, 1)), (DEAD, True, None)]),
        (["AC", "aC"], [(SLIP, True, (1, 1)), (DEAD, True, None)]),
        (["AB", "aC", "aA"], [(LIVE, False, (1, 1)), (LIVE, False, (1, 1)), (SLIP, True, (0, 0))]),
        ([], []),
    ],
)
def test_steps_by_hand(lines, judged):
    """Live, into a dead end, dead behind it, a slip, all behind a slip, and one step too many."""
    found = VERIFIER.judge_steps(PROBLEM, lines)
    assert [(step.kind, step.contradiction, step.branches) for step in found] == judged
