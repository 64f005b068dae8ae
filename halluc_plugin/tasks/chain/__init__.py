"""Chains of operations modulo m, worked out from left to right."""

from halluc_plugin.problem_sets.step_files import StepData
from halluc_plugin.tasks.chain.problems import ChainProblems
from halluc_plugin.tasks.chain.verifier import ChainVerifier
from halluc_plugin.tasks.evaluation import EvaluatedSplit, Evaluation
from halluc_plugin.tasks.task import Task

TASK = Task(
    name="chain",
    verifier=ChainVerifier(),
    data=StepData(ChainProblems()),
    examples=("--modulus 23 --error-rate 0.1",),
    eval=Evaluation(
        version="1.1",
        splits=(
            EvaluatedSplit(name="chain_backtrack", split="test", what="chains"),
            EvaluatedSplit(
                name="chain_backtrack_long", split="test_long", what="longer chains than in training"
            ),
        ),
        max_tokens=512,
    ),
)
