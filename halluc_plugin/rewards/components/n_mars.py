"""The reward component ``n_mars``, which limits how much is taken back."""

from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import component
from halluc_plugin.rewards.settings import RewardSettings
from halluc_plugin.verifiers import Outcome


@component("n_mars")
def n_mars(answer: Answer, settings: RewardSettings) -> float:
    """Return the reward of N-MARS: R_inc, which is 1 for a correct answer and -1 otherwise, plus R_pen.

    R_pen is 1 for a correct answer whose effective edits are at most ``kappa`` of its actions, 0.5 for one
    with more, and -1 for a wrong one. The reward is therefore 2, 1.5 or -2. If no answer of a group is over
    the budget, advantages are those of the outcome.
    """
    if answer.final.outcome is not Outcome.CORRECT:
        return -2.0
    within = answer.trace.num_backtracks <= settings.kappa * answer.trace.raw_length
    return 2.0 if within else 1.5
