"""Reward components by name."""

from collections.abc import Callable
from typing import Any

from halluc_plugin.errors import SettingsError
from halluc_plugin.rewards.answer import Answer

Component = Callable[[Answer, Any], float]
"""Of a judged answer and the :class:`halluc_plugin.rewards.settings.RewardSettings`."""

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
        reads_values: Whether it reads ``event_values`` of an answer.
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
