"""Find reward components by name: halluc's, those of installed packages, and those a program registers."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from halluc_plugin.errors import SettingsError
from halluc_plugin.rewards.answer import Answer

GROUP = "halluc.rewards"
"""Entry points of installed packages: the name of a component, and the module whose import registers it."""

OURS = "halluc_plugin."

Function = Callable[[Answer, Any], float]
"""A pure function of a judged answer and the component's settings."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Component:
    """One part of a reward.

    Attributes:
        name: Name of the component under ``halluc.reward.weights``, and in the logs.
        function: Function that returns what an answer earns.
        reads_values: Whether the function reads ``event_values`` or ``steps`` of an answer, so that something
            must judge states.
        reads_steps: Whether the function reads ``steps``, whose values may have to be sampled.
        settings: Dataclass of the component's own settings, read from ``halluc.reward.parameters.NAME``; None
            for a component that receives the :class:`halluc_plugin.rewards.RewardSettings` themselves.
    """

    name: str
    function: Function
    reads_values: bool = False
    reads_steps: bool = False
    settings: type[Any] | None = None

    def __call__(self, answer: Answer, settings: Any) -> float:
        """What an answer earns under some :class:`halluc_plugin.rewards.RewardSettings`."""
        if self.settings is not None:
            settings = settings.parameters.get(self.name) or self.settings()
        return float(self.function(answer, settings))


COMPONENTS: dict[str, Component] = {}
"""The components registered so far; :func:`components` has those of installed packages, too."""


def component(
    name: str, *, reads_values: bool = False, reads_steps: bool = False, settings: type[Any] | None = None
) -> Callable[[Function], Function]:
    """Register a reward component; the arguments are those of :class:`Component`.

    Returns:
        A decorator for a pure function of a judged answer and the settings.

    Raises:
        SettingsError: Another component has the name.
    """

    def register(function: Function) -> Function:
        made = Component(name, function, reads_values or reads_steps, reads_steps, settings)
        if COMPONENTS.setdefault(name, made).function is not function:
            raise SettingsError(f"Two reward components are named {name!r}.", "Rename one of them.")
        return function

    return register


def components() -> Mapping[str, Component]:
    """Return all components by name, with those of installed packages."""
    broken_components()
    return COMPONENTS


@cache
def broken_components() -> Mapping[str, str]:
    """Return why each broken component of an installed package cannot be used, by name.

    The packages are imported on the first call.
    """
    broken: dict[str, str] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        package = entry.dist.name if entry.dist else entry.value
        known = COMPONENTS.get(entry.name)
        if known is not None and known.function.__module__.startswith(OURS):
            logger.warning("halluc: the package %s claims the reward component %r.", package, entry.name)
            continue
        try:
            entry.load()
        except Exception as error:  # noqa: BLE001 - a package that is broken fails those alone who use it
            broken[entry.name] = f"{entry.value} of the package {package}: {type(error).__name__}: {error}"
        else:
            if entry.name not in COMPONENTS:
                broken[entry.name] = f"{entry.value} of the package {package} registers none of that name"
    return broken
