"""Sudoku of four rows: fill in a grid so that each row, column and square has 1 to 4."""

from halluc_plugin.problem_sets.search import SearchVerifier
from halluc_plugin.problem_sets.search_files import SearchData, SearchRequest
from halluc_plugin.tasks.evaluation import EvaluatedSplit, Evaluation
from halluc_plugin.tasks.sudoku.problems import SOURCES, SudokuProblems
from halluc_plugin.tasks.task import Task

TASK = Task(
    name="sudoku",
    verifier=SearchVerifier(SudokuProblems.search, SOURCES),
    data=SearchData(SudokuProblems(), SearchRequest(train=12_000)),
    examples=("", "--givens 5 --back step"),
    eval=Evaluation(
        version="1.0",
        splits=(
            EvaluatedSplit(name="sudoku_backtrack", split="test", what="sudokus of four rows"),
            EvaluatedSplit(
                name="sudoku_backtrack_new",
                split="test_new",
                what="sudokus of four rows whose grids never occur in training",
            ),
        ),
        max_tokens=512,
    ),
)
