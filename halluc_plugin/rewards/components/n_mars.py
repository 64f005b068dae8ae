"""The component ``n_mars``."""

from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import component
from halluc_plugin.rewards.settings import RewardSettings
from halluc_plugin.verifiers import Outcome


@component("n_mars")
def n_mars(answer: Answer, settings: RewardSettings) -> float:
    """The reward of N-MARS: R_inc of 1 when correct and -1 else, and R_pen.

    R_pen is 1 for a correct answer whose edits that erased something are at most ``kappa`` of its actions,
    0.5 for one with more, and -1 for a wrong one. So it is 2, 1.5 or -2; where no answer of a group is over
    the budget, advantages are those of the outcome.
    """
    if answer.final.outcome is not Outcome.CORRECT:
        return -2.0
    within = answer.trace.num_backtracks <= settings.kappa * answer.trace.raw_length
    return 2.0 if within else 1.5
