"""Named reward components and their sum."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from halluc_plugin.errors import SettingsError
from halluc_plugin.rewards.answer import Answer

if TYPE_CHECKING:
    from halluc_plugin.settings import RewardSettings

Component = Callable[[Answer, "RewardSettings"], float]

COMPONENTS: dict[str, Component] = {}
"""Components by name. Add one with :func:`component` in a module that every process imports."""


def component(name: str) -> Callable[[Component], Component]:
    """Register a reward component.

    Args:
        name: Name under ``halluc.reward.weights``, and of the part in the logs.

    Returns:
        A decorator for a pure function of a judged answer and the reward settings.

    Raises:
        SettingsError: Another component has the name.
    """

    def register(function: Component) -> Component:
        if COMPONENTS.setdefault(name, function) is not function:
            raise SettingsError(f"Two reward components are named {name!r}.", "Rename one of them.")
        return function

    return register


@component("outcome")
def outcome(answer: Answer, _: "RewardSettings") -> float:
    """What the verifier pays for the resolved answer."""
    return answer.final.score


@component("format")
def form(answer: Answer, _: "RewardSettings") -> float:
    """1 if the resolved text holds an answer, right or wrong, else 0."""
    from halluc_plugin.verifiers import Outcome

    return float(answer.final.outcome is not Outcome.NO_ANSWER)


@component("backtrack")
def backtrack(answer: Answer, settings: "RewardSettings") -> float:
    """``alpha·max(0, R_final - R_before) - beta·N_unnecessary + gamma/√max(1, N)``, the last when correct.

    R_final is 1 for a correct answer; R_before is 1 if the state before the first event could still become
    one; N counts effective events, N_unnecessary those that started from such a state. Where nothing can
    judge prefixes, the first two terms are 0.
    """
    from halluc_plugin.verifiers import Outcome

    correct = answer.final.outcome is Outcome.CORRECT
    reward = settings.gamma / math.sqrt(max(1, answer.trace.num_events)) if correct else 0.0
    if answer.was_right:
        reward += settings.alpha * max(0, correct - answer.was_right[0])
        reward -= settings.beta * sum(answer.was_right)
    return reward


def score(answer: Answer, settings: "RewardSettings") -> tuple[float, dict[str, float]]:
    """The reward of an answer.

    Args:
        answer: The judged answer.
        settings: Weights and parameters.

    Returns:
        The weighted sum, and every registered component unweighted, by name.
    """
    parts = {name: float(function(answer, settings)) for name, function in COMPONENTS.items()}
    return sum(weight * parts[name] for name, weight in settings.weights.items()), parts
