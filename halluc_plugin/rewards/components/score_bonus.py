"""The reward component ``score_bonus``, the gain of the second attempt over the first."""

from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import component
from halluc_plugin.rewards.settings import RewardSettings
from halluc_plugin.verifiers import Outcome


@component("score_bonus", reads_values=True)
def score_bonus(answer: Answer, _: RewardSettings) -> float:
    """Return the gain of the second attempt, ``R_final - R_before`` (SCoRe, arXiv 2409.12917, eq. 5).

    Deviation: the first attempt is not a whole answer but the state before the first event. By a verifier its
    value is 1 if it could still become right; by continuations (``halluc.values.source``) it is the accuracy
    of answers without edits from there. The gain is 0 without an event, and if nothing can judge prefixes.
    """
    if not answer.event_values:
        return 0.0
    return float(answer.final.outcome is Outcome.CORRECT) - answer.event_values[0].before
