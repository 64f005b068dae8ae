"""The component ``process_min``."""

from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import component
from halluc_plugin.rewards.settings import RewardSettings


@component("process_min", reads_steps=True)
def process_min(answer: Answer, _: RewardSettings) -> float:
    """Least value of the states after each step of the resolved answer; the last step is the answer itself.

    The min form of J. Cheng et al. (PURE, arXiv 2504.15275) for whole answers: no number of good steps makes
    up for a bad one, as in a sum or mean. 0 where nothing can judge prefixes, and for a wrong answer.
    """
    return min(answer.steps) if answer.steps else 0.0
