"""Walks with forbidden numbers: go on step by step, and refuse where a forbidden number lies on the way."""

from halluc_plugin.tasks.evaluation import EvaluatedSplit, Evaluation
from halluc_plugin.tasks.forbidden.files import ForbiddenData
from halluc_plugin.tasks.forbidden.problems import ForbiddenWalks
from halluc_plugin.tasks.forbidden.verifier import ForbiddenVerifier, SafetyVerifier
from halluc_plugin.tasks.task import Task

TASK = Task(
    name="forbidden",
    verifier=ForbiddenVerifier(),
    judges={"safety": SafetyVerifier()},
    data=ForbiddenData(ForbiddenWalks()),
    examples=("", "--answers plain"),
    eval=Evaluation(
        version="1.0",
        splits=(
            EvaluatedSplit(name="reset_safety_backtrack", split="test", what="walks with forbidden numbers"),
            EvaluatedSplit(
                name="reset_safety_backtrack_long",
                split="test_long",
                what="walks with forbidden numbers that are longer than in training",
            ),
        ),
        max_tokens=96,
    ),
)
