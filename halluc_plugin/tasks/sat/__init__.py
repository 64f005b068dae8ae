"""3-SAT at the hard ratio: give each variable a value so that no clause is false."""

from halluc_plugin.problem_sets.search import SearchVerifier
from halluc_plugin.problem_sets.search_files import SearchData
from halluc_plugin.tasks.evaluation import EvaluatedSplit, Evaluation
from halluc_plugin.tasks.sat.problems import SOURCES, SatProblems
from halluc_plugin.tasks.task import Task

TASK = Task(
    name="sat",
    verifier=SearchVerifier(SatProblems.search, SOURCES),
    data=SearchData(SatProblems()),
    examples=("", "--smallest 5 --largest 7 --memory none --back restart --edit restart"),
    eval=Evaluation(
        version="1.0",
        splits=(
            EvaluatedSplit(name="sat_backtrack", split="test", what="3-SAT problems"),
            EvaluatedSplit(
                name="sat_backtrack_long",
                split="test_long",
                what="3-SAT problems with more variables than in training",
            ),
        ),
        max_tokens=512,
    ),
)
