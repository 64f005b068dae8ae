"""The oracles of all search tasks, against a search through every answer that the rules allow."""

import pytest

from halluc_plugin.problem_sets.search_files import SearchData
from halluc_plugin.problem_sets.steps import Sizes, StepSplit, generate
from halluc_plugin.tasks import load
from halluc_plugin.tasks.sat.problems import SatProblems
from halluc_plugin.tasks.sudoku.problems import SudokuProblems
from halluc_plugin.tasks.word.automaton import Answers
from halluc_plugin.tasks.word.problems import WordProblems
from halluc_plugin.verifiers import Outcome

PROBLEMS = {
    "word": WordProblems(states=6, letters=2, length=4, starts=3, blanks=2, answers=Answers.ANY),
    "sat": SatProblems(sizes=Sizes(4, 5, 6)),
    "sudoku": SudokuProblems(givens=7),
}


def walk(search, verifier, problem, state, text=""):
    """Whether a right answer begins with ``text``, asking the verifier of whole answers alone."""
    steps = search.steps(state)
    if steps:
        alive = [walk(search, verifier, problem, step.after, text + step.text) for step in steps]
        found = any(alive)
    else:
        found = verifier.verify(problem, text) is Outcome.CORRECT
        assert search.contradiction(state) is not found  # where nothing is left to do, the text tells
    assert search.dead(state) is not found
    assert verifier.prefix_ok(problem, text) is found
    assert not (search.contradiction(state) and found)
    return found


@pytest.mark.parametrize("name", PROBLEMS)
def test_dead_ends_are_exact(name):
    """Dead is where no right answer begins so; contradictions are dead; at the end they are the same."""
    problems = PROBLEMS[name]
    verifier = load(name).verifier
    for problem in generate(problems, StepSplit.TRAIN, 4):
        begin = problems.search.begin(problem.truth)
        assert walk(problems.search, verifier, problem.truth, begin)


@pytest.mark.parametrize("name", PROBLEMS)
def test_declared_as_a_search(name):
    """The task's verifier and data go by the same search."""
    task = load(name)
    assert isinstance(task.data, SearchData)
    assert task.data.problems.search is task.verifier.search
