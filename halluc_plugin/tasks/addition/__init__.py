"""Additions and subtractions digit by digit, in any base."""

from halluc_plugin.problem_sets.step_files import StepData
from halluc_plugin.tasks.addition.problems import AdditionProblems
from halluc_plugin.tasks.addition.verifier import AdditionVerifier
from halluc_plugin.tasks.evaluation import EvaluatedSplit, Evaluation
from halluc_plugin.tasks.task import Task

TASK = Task(
    name="addition",
    verifier=AdditionVerifier(),
    data=StepData(AdditionProblems()),
    examples=("--base 16 --operations +",),
    eval=Evaluation(
        version="1.1",
        splits=(
            EvaluatedSplit(name="addition_backtrack", split="test", what="additions"),
            EvaluatedSplit(
                name="addition_backtrack_long",
                split="test_long",
                what="additions with more digits than in training",
            ),
        ),
        max_tokens=512,
    ),
)
