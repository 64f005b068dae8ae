"""The component ``outcome``."""

from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import component
from halluc_plugin.rewards.settings import RewardSettings


@component("outcome")
def outcome(answer: Answer, _: RewardSettings) -> float:
    """What the verifier pays for the resolved answer."""
    return answer.final.score
