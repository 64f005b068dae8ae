"""Names that YAML files of users may have: for one release they lead to what all tasks share now."""

from halluc_plugin import moved
from halluc_plugin.tasks.countdown.verifier import EQUATION
from lm_eval_tasks.filters import Findings
from lm_eval_tasks.verified import VerifiedTask

moved.warn(f"{__name__}.CountdownTask", f"{VerifiedTask.__module__}.VerifiedTask")
moved.warn(f"{__name__}.Equations", f"{Findings.__module__}.Findings with the pattern of an equation")


class CountdownTask(VerifiedTask):
    """Judges by the row's verifier, or as a published one does."""


class Equations(Findings):
    """The equations of a text, one a line, whatever stands between them."""

    def __init__(self) -> None:
        super().__init__(EQUATION.pattern)
