"""The reward component ``outcome``, which pays for the final answer."""

from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import component
from halluc_plugin.rewards.settings import RewardSettings


@component("outcome")
def outcome(answer: Answer, _: RewardSettings) -> float:
    """Return the verifier's score of the resolved answer."""
    return answer.final.score
