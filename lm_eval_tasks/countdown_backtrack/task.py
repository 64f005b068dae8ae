"""Old names that users' YAML files may have, which for one release lead to what all tasks share."""

from halluc_plugin import moved
from halluc_plugin.tasks.countdown.verifier import EQUATION
from lm_eval_tasks.filters import Findings
from lm_eval_tasks.verified import VerifiedTask

moved.warn(f"{__name__}.CountdownTask", f"{VerifiedTask.__module__}.VerifiedTask")
moved.warn(f"{__name__}.Equations", f"{Findings.__module__}.Findings with the pattern of an equation")


class CountdownTask(VerifiedTask):
    """Judges by the row's verifier, or by a published one."""


class Equations(Findings):
    """Finds the equations of a text, one on each line, whatever text is between them."""

    def __init__(self) -> None:
        super().__init__(EQUATION.pattern)
