"""The component ``process``."""

from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import component
from halluc_plugin.rewards.settings import RewardSettings


@component("process", reads_steps=True)
def process(answer: Answer, _: RewardSettings) -> float:
    """Mean value of the states after each step of the resolved answer; the last step is the answer itself.

    By a prefix verifier it is the share of steps before the first wrong one, 1 for a right answer; by
    continuations a soft estimate of it (Math-Shepherd, arXiv 2312.08935). 0 where nothing can judge
    prefixes. It pays for what is left, however it came about: an error that was undone costs nothing.
    """
    return sum(answer.steps) / len(answer.steps) if answer.steps else 0.0
