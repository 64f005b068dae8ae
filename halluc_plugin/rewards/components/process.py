"""The reward component ``process``, the mean value of the resolved answer's steps."""

from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import component
from halluc_plugin.rewards.settings import RewardSettings


@component("process", reads_steps=True)
def process(answer: Answer, _: RewardSettings) -> float:
    """Return the mean value of the states after each step of the resolved answer.

    The last step is the answer itself. By a prefix verifier the mean is the share of steps before the first
    wrong one, 1 for a right answer; by continuations it is a soft estimate of that share (Math-Shepherd,
    arXiv 2312.08935). It is 0 if nothing can judge prefixes. Only the resolved answer counts: an error that
    was undone costs nothing.
    """
    return sum(answer.steps) / len(answer.steps) if answer.steps else 0.0
