"""Named reward components and their sum."""

import math

from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import COMPONENTS, component
from halluc_plugin.rewards.settings import RewardSettings
from halluc_plugin.verifiers import Outcome


@component("outcome")
def outcome(answer: Answer, _: RewardSettings) -> float:
    """What the verifier pays for the resolved answer."""
    return answer.final.score


@component("format")
def form(answer: Answer, _: RewardSettings) -> float:
    """1 if the resolved text holds an answer, right or wrong, else 0."""
    return float(answer.final.outcome is not Outcome.NO_ANSWER)


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
        reward -= settings.beta * sum(move.before for move in answer.event_values)
    return reward


@component("process", reads_steps=True)
def process(answer: Answer, _: RewardSettings) -> float:
    """Mean value of the states after each step of the resolved answer; the last step is the answer itself.

    By a prefix verifier it is the share of steps before the first wrong one, 1 for a right answer; by
    continuations a soft estimate of it (Math-Shepherd, arXiv 2312.08935). 0 where nothing can judge
    prefixes. It pays for what is left, however it came about: an error that was undone costs nothing.
    """
    return sum(answer.steps) / len(answer.steps) if answer.steps else 0.0


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


@component("score_bonus", reads_values=True)
def score_bonus(answer: Answer, _: RewardSettings) -> float:
    """What the second attempt made better or worse: ``R_final - R_before`` (SCoRe, arXiv 2409.12917, eq. 5).

    Deviation: the first attempt is no whole answer but the state before the first event. By a verifier it is
    worth 1 if it could still become right; by continuations (``halluc.values.source``) it is what the answer
    comes to when no edit follows. 0 without an event, and where nothing can judge prefixes.
    """
    if not answer.event_values:
        return 0.0
    return float(answer.final.outcome is Outcome.CORRECT) - answer.event_values[0].before


def score(answer: Answer, settings: RewardSettings) -> tuple[float, dict[str, float]]:
    """The reward of an answer.

    Args:
        answer: The judged answer.
        settings: Weights and parameters.

    Returns:
        The weighted sum, and every registered component unweighted, by name.
    """
    parts = {name: float(function(answer, settings)) for name, function in COMPONENTS.items()}
    return sum(weight * parts[name] for name, weight in settings.weights.items()), parts
