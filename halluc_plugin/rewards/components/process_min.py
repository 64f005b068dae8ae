"""The reward component ``process_min``, the least value of the resolved answer's steps."""

from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import component
from halluc_plugin.rewards.settings import RewardSettings


@component("process_min", reads_steps=True)
def process_min(answer: Answer, _: RewardSettings) -> float:
    """Return the least value of the states after each step of the resolved answer.

    The last step is the answer itself. This is the min form of J. Cheng et al. (PURE, arXiv 2504.15275) for
    whole answers: no number of good steps makes up for a bad one, as it would in a sum or mean. It is 0 for a
    wrong answer, and if nothing can judge prefixes.
    """
    return min(answer.steps) if answer.steps else 0.0
