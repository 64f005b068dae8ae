"""What the oracle says of the steps of an answer."""

import pytest

from halluc_plugin.problem_sets.search import SearchVerifier
from halluc_plugin.tasks.word.automaton import WordSearch
from halluc_plugin.verifiers import Outcome, StepKind

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


@pytest.mark.parametrize(
    ("answer", "outcome", "left"),
    [
        ("AB\nbA\nno.\naC\n", Outcome.CORRECT, "AB\naC"),
        ("CA\naB\nno.\nno.\nAB\naC", Outcome.CORRECT, "AB\naC"),
        ("AB\naC\nno.\nbA\n", Outcome.WRONG, "AB\nbA"),
        ("AB\nbA\naC", Outcome.WRONG, "AB\nbA\naC"),
        ("no.\nAB\naC", Outcome.NO_ANSWER, "no.\nAB\naC"),
        ("AB\nno\nAB\naC", Outcome.NO_ANSWER, "AB\nno\nAB\naC"),
    ],
)
def test_a_search_in_words_is_judged_by_what_is_left(answer, outcome, left):
    """A line "no." takes back the last line that is left; where none is, the answer is malformed."""
    assert VERIFIER.verify(PROBLEM, answer) is outcome
    assert VERIFIER.canonical(answer) == left


@pytest.mark.parametrize(
    ("prefix", "fine"),
    [
        ("AB\nbA\n", False),
        ("AB\nbA\nno.", True),
        ("AB\nbA\nno.\n", True),
        ("AB\nbA\nno.\na", True),
        ("AB\nbA\nno.\nb", False),
        ("CA\naB\nno.\n", False),
        ("no.\n", False),
    ],
)
def test_a_prefix_in_words_is_judged_by_what_is_left(prefix, fine):
    """Nothing more is taken for taken back than is, so a dead end stays one until "no." stands behind it."""
    assert VERIFIER.prefix_ok(PROBLEM, prefix) is fine
