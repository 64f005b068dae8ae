"""The component ``backtrack``."""

import math

from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import component
from halluc_plugin.rewards.settings import RewardSettings
from halluc_plugin.verifiers import Outcome


@component("backtrack", reads_values=True)
def backtrack(answer: Answer, settings: RewardSettings) -> float:
    """``alpha·max(0, R_final - R_before) - beta·N_unnecessary + gamma/√max(1, N)``, the last when correct.

    R_final is 1 for a correct answer; R_before is the value of the state before the first event, 1 if it
    could still become one; N counts effective events, N_unnecessary sums the values of the states that they
    left. Where nothing can judge prefixes, the first two terms are 0.
    """
    correct = answer.final.outcome is Outcome.CORRECT
    reward = settings.gamma / math.sqrt(max(1, answer.trace.num_events)) if correct else 0.0
    if answer.event_values:
        reward += settings.alpha * max(0.0, correct - answer.event_values[0].before)
        reward -= settings.beta * sum(value.before for value in answer.event_values)
    return reward
