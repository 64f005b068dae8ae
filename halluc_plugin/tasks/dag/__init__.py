"""Arithmetic on graphs of definitions, modulo a prime."""

from halluc_plugin.problem_sets.step_files import StepData, StepRequest
from halluc_plugin.problem_sets.step_traces import Pairing, StepTraceSettings
from halluc_plugin.tasks.dag.problems import DagProblems
from halluc_plugin.tasks.dag.verifier import DagVerifier
from halluc_plugin.tasks.evaluation import EvaluatedSplit, Evaluation
from halluc_plugin.tasks.task import Task

TASK = Task(
    name="dag",
    verifier=DagVerifier(),
    data=StepData(
        DagProblems(),
        # The paper's: a trace of each problem, with names that are taken back.
        StepRequest(
            train=12_000,
            traces=StepTraceSettings(
                pairing=Pairing.SINGLE, rate=0.5, mix={"unready": 1, "result": 0, "operand": 0}
            ),
        ),
    ),
    examples=("--largest 12 --longest 16",),
    old_options={"--retry-rate": "--error-rate"},
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
