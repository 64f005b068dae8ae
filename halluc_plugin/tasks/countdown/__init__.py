"""Countdown problems: reach a target with each of the given numbers used exactly once."""

from halluc_plugin.tasks.countdown.files import CountdownRequest
from halluc_plugin.tasks.countdown.published import JUDGES
from halluc_plugin.tasks.countdown.verifier import EQUATION, CountdownVerifier
from halluc_plugin.tasks.evaluation import EvaluatedSplit, Evaluation
from halluc_plugin.tasks.task import Task

TASK = Task(
    name="countdown",
    verifier=CountdownVerifier(),
    data=CountdownRequest(train=12_000),
    examples=("", "--numbers 4 --train 100000 --workers 4", "--format stream --variants 1"),
    judges=JUDGES,
    eval=Evaluation(
        version="1.2",
        splits=(
            EvaluatedSplit(name="countdown_backtrack", split="test_seen", what="Countdown problems"),
            EvaluatedSplit(
                name="countdown_backtrack_new", split="test_new", what="Countdown problems with new targets"
            ),
            EvaluatedSplit(
                name="countdown4_backtrack",
                split="test_seen",
                what="Countdown problems with four numbers",
                folder="countdown4",
                arguments=("--numbers", "4"),
                version="1.1",
            ),
            EvaluatedSplit(
                name="countdown4_backtrack_new",
                split="test_new",
                what="Countdown problems with four numbers and new targets",
                folder="countdown4",
                arguments=("--numbers", "4"),
                version="1.1",
            ),
        ),
        max_tokens=128,
        extract=EQUATION.pattern,
        target="{{ground_truth.target}}",
    ),
)
