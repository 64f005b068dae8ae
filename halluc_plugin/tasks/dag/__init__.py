"""Arithmetic on graphs of definitions, modulo a prime."""

from halluc_plugin.tasks.dag.verifier import DagVerifier
from halluc_plugin.tasks.evaluation import EvaluatedSplit, Evaluation
from halluc_plugin.tasks.task import Task

TASK = Task(
    name="dag",
    verifier=DagVerifier(),
    eval=Evaluation(
        version="1.1",
        splits=(
            EvaluatedSplit(name="dag_backtrack", split="test", what="graphs"),
            EvaluatedSplit(
                name="dag_backtrack_long", split="test_long", what="larger graphs than in training"
            ),
        ),
        max_tokens=512,
    ),
)
