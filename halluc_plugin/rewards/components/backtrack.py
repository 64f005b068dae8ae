"""The reward component ``backtrack``, which pays for useful backtracks."""

import math

from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import component
from halluc_plugin.rewards.settings import RewardSettings
from halluc_plugin.verifiers import Outcome


@component("backtrack", reads_values=True)
def backtrack(answer: Answer, settings: RewardSettings) -> float:
    """Return ``alpha·max(0, R_final - R_before) - beta·N_unnecessary + gamma/√max(1, N)`` of an answer.

    R_final is 1 for a correct answer. R_before is the value of the state before the first event, 1 if a
    correct answer could still be reached. N counts effective events, and N_unnecessary sums the values of the
    states that they left. The last term is paid for a correct answer only. If nothing can judge prefixes, the
    first two terms are 0.
    """
    correct = answer.final.outcome is Outcome.CORRECT
    reward = settings.gamma / math.sqrt(max(1, answer.trace.num_events)) if correct else 0.0
    if answer.event_values:
        reward += settings.alpha * max(0.0, correct - answer.event_values[0].before)
        reward -= settings.beta * sum(value.before for value in answer.event_values)
    return reward
