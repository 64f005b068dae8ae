"""3-SAT: its judge against all assignments, and what is refused."""

import itertools
import math

import pytest

from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.problem_sets.steps import Sizes, StepSplit, generate
from halluc_plugin.tasks import load
from halluc_plugin.tasks.sat.problems import SatProblems
from halluc_plugin.verifiers import Outcome

VERIFIER = load("sat").verifier


def test_the_judge_agrees_with_all_assignments():
    """Right is an assignment that makes each clause true, worked out with truth values."""
    for problem in generate(SatProblems(sizes=Sizes(3, 6, 7)), StepSplit.TRAIN, 10):
        names, right = "abcdef"[: problem.truth["variables"]], []
        for values in itertools.product([True, False], repeat=len(names)):
            value = dict(zip(names, values, strict=True))
            holds = all(
                any(value[sign.lower()] is sign.islower() for sign in clause)
                for clause in problem.truth["clauses"]
            )
            answer = "\n".join(name if value[name] else name.upper() for name in names)
            assert (VERIFIER.verify(problem.truth, answer) is Outcome.CORRECT) is holds
            right += [answer + "\n"] * holds
        assert problem.answer in right


def test_sizes_and_ratio():
    """Problems have as many variables as is asked, long ones more, and clauses by the ratio."""
    problems = SatProblems(ratio=3.0, sizes=Sizes(4, 5, 7))
    for split, sizes in ((StepSplit.TRAIN, {4, 5}), (StepSplit.TEST_LONG, {6, 7})):
        drawn = generate(problems, split, 20)
        assert {problem.truth["variables"] for problem in drawn} == sizes
        assert all(len(p.truth["clauses"]) == 3 * p.truth["variables"] for p in drawn)


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        ({"clauses": ["abc", "abC", "aBc", "aBC", "Abc", "AbC", "ABc", "ABC"], "variables": 3}, "cannot all"),
        ({"clauses": ["aab"], "variables": 3}, "no 3-SAT problem"),
        ({"clauses": ["abd"], "variables": 3}, "no 3-SAT problem"),
        ({"clauses": [], "variables": 3}, "no 3-SAT problem"),
    ],
)
def test_truths_that_are_no_problem(truth, said):
    """Clauses that cannot all be true, or are none, say so."""
    with pytest.raises(DataError, match=said):
        VERIFIER.verify(truth, "a")


def test_a_ratio_at_which_nothing_can_be_solved():
    """That is said after a number of draws, with the hard ratio."""
    with pytest.raises(SettingsError, match=r"none can be solved.*4.26 is the hard one"):
        generate(SatProblems(ratio=40.0, sizes=Sizes(5, 6, 7)), StepSplit.TRAIN, 1)


@pytest.mark.parametrize(
    "values",
    [
        {"ratio": 0.0}, {"ratio": math.nan}, {"ratio": math.inf}, {"ratio": 51.0},
        {"sizes": Sizes(2, 3, 4)}, {"sizes": Sizes(5, 10, 15)},
    ],
)  # fmt: skip
def test_options_out_of_range(values):
    """Ratios and sizes that cannot be drawn are refused."""
    with pytest.raises(SettingsError, match=r"ratio of clauses is|Problems of"):
        SatProblems(**values)
