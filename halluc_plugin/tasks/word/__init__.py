"""Word problems: from which start does a word of letters, each a fixed map of states, lead to the goal?"""

from halluc_plugin.problem_sets.search import SearchVerifier
from halluc_plugin.problem_sets.search_files import SearchData
from halluc_plugin.tasks.evaluation import EvaluatedSplit, Evaluation
from halluc_plugin.tasks.task import Task
from halluc_plugin.tasks.word.problems import SOURCES, WordProblems

TASK = Task(
    name="word",
    verifier=SearchVerifier(WordProblems.search, SOURCES),
    data=SearchData(WordProblems()),
    examples=(
        "",
        "--memory none --notice at-once --tries 2",
        "--blanks 2 --length 6 --back restart --edit restart",
    ),
    eval=Evaluation(
        version="1.0",
        splits=(
            EvaluatedSplit(name="word_backtrack", split="test", what="word problems"),
            EvaluatedSplit(
                name="word_backtrack_new",
                split="test_new",
                what="word problems with words that never occur in training",
            ),
        ),
        max_tokens=256,
    ),
)
