"""The reward component ``format``, which pays for an answer in the expected form."""

from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import component
from halluc_plugin.rewards.settings import RewardSettings
from halluc_plugin.verifiers import Outcome


@component("format")
def form(answer: Answer, _: RewardSettings) -> float:
    """Return 1 if the resolved text holds an answer, right or wrong, else 0."""
    return float(answer.final.outcome is not Outcome.NO_ANSWER)
