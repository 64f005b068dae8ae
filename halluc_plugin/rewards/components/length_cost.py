"""The reward component ``length_cost``, what the actions of a right answer cost."""

from dataclasses import dataclass

from halluc_plugin.errors import SettingsError
from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import component
from halluc_plugin.verifiers import Outcome


@dataclass(frozen=True)
class LengthCost:
    """The settings of ``length_cost``.

    Args:
        horizon: Number of actions that cost 1, such as the longest answer of the run.

    Raises:
        SettingsError: The horizon is below 1.
    """

    horizon: int = 1024

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise SettingsError(
                f"halluc.reward.parameters.length_cost.horizon is {self.horizon}.",
                "Give the number of actions that cost 1, at least 1.",
            )


@component("length_cost", settings=LengthCost)
def length_cost(answer: Answer, settings: LengthCost) -> float:
    """Return ``-raw length / horizon`` of a right answer, and 0 of any other.

    Every action costs, edits and what they erase included. Wrong answers cost nothing, so that with a weight
    below 1 no right answer within the horizon earns less than a wrong one, and being short alone earns
    nothing. Source: D. Arora and A. Zanette, "Training Language Models to Reason Efficiently" (arXiv
    2502.04463), whose cost of right answers is a sigmoid of the length relative to the prompt's other right
    answers; here it is linear.
    """
    if answer.final.outcome is not Outcome.CORRECT:
        return 0.0
    return -answer.trace.raw_length / settings.horizon
