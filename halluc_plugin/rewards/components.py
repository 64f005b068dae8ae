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

VALUED: set[str] = set()
"""Those that read values of states: paying them needs somebody who judges states."""

STEPPED: set[str] = set()
"""Those of them that read the values after steps, not only before and after events."""


def component(
    name: str, *, reads_values: bool = False, reads_steps: bool = False
) -> Callable[[Component], Component]:
    """Register a reward component.

    Args:
        name: Name under ``halluc.reward.weights``, and of the part in the logs.
        reads_values: Whether it reads ``moves`` of an answer.
        reads_steps: Whether it reads ``steps``, whose values may have to be sampled.

    Returns:
        A decorator for a pure function of a judged answer and the reward settings.

    Raises:
        SettingsError: Another component has the name.
    """

    def register(function: Component) -> Component:
        if COMPONENTS.setdefault(name, function) is not function:
            raise SettingsError(f"Two reward components are named {name!r}.", "Rename one of them.")
        if reads_values or reads_steps:
            VALUED.add(name)
        if reads_steps:
            STEPPED.add(name)
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


@component("backtrack", reads_values=True)
def backtrack(answer: Answer, settings: "RewardSettings") -> float:
    """``alpha·max(0, R_final - R_before) - beta·N_unnecessary + gamma/√max(1, N)``, the last when correct.

    R_final is 1 for a correct answer; R_before is the value of the state before the first event, 1 if it
    could still become one; N counts effective events, N_unnecessary sums the values of the states that they
    left. Where nothing can judge prefixes, the first two terms are 0.
    """
    from halluc_plugin.verifiers import Outcome

    correct = answer.final.outcome is Outcome.CORRECT
    reward = settings.gamma / math.sqrt(max(1, answer.trace.num_events)) if correct else 0.0
    if answer.moves:
        reward += settings.alpha * max(0.0, correct - answer.moves[0].before)
        reward -= settings.beta * sum(move.before for move in answer.moves)
    return reward


@component("process", reads_steps=True)
def process(answer: Answer, _: "RewardSettings") -> float:
    """Mean value of the states after each step of the resolved answer; the last step is the answer itself.

    By a prefix verifier it is the share of steps before the first wrong one, 1 for a right answer; by
    continuations a soft estimate of it (Math-Shepherd, arXiv 2312.08935). 0 where nothing can judge
    prefixes. It pays for what is left, however it came about: an error that was undone costs nothing.
    """
    return sum(answer.steps) / len(answer.steps) if answer.steps else 0.0


@component("n_mars")
def n_mars(answer: Answer, settings: "RewardSettings") -> float:
    """The reward of N-MARS: R_inc of 1 when correct and -1 else, and R_pen.

    R_pen is 1 for a correct answer whose edits that erased something are at most ``kappa`` of its actions,
    0.5 for one with more, and -1 for a wrong one. So it is 2, 1.5 or -2; where no answer of a group is over
    the budget, advantages are those of the outcome.
    """
    from halluc_plugin.verifiers import Outcome

    if answer.final.outcome is not Outcome.CORRECT:
        return -2.0
    within = answer.trace.num_backtracks <= settings.kappa * answer.trace.raw_length
    return 2.0 if within else 1.5


@component("score_bonus", reads_values=True)
def score_bonus(answer: Answer, _: "RewardSettings") -> float:
    """What the second attempt made better or worse: ``R_final - R_before`` (SCoRe, arXiv 2409.12917, eq. 5).

    Deviation: the first attempt is no whole answer but the state before the first event. By a verifier it is
    worth 1 if it could still become right; by continuations (``halluc.values.source``) it is what the answer
    comes to when no edit follows. 0 without an event, and where nothing can judge prefixes.
    """
    from halluc_plugin.verifiers import Outcome

    if not answer.moves:
        return 0.0
    return float(answer.final.outcome is Outcome.CORRECT) - answer.moves[0].before


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
