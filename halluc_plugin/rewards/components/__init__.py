"""The named reward components, one module for each, and their weighted sum.

Every module of this folder is imported; it registers its component with
:func:`halluc_plugin.rewards.component`.
"""

from importlib import import_module
from pkgutil import iter_modules

from halluc_plugin import moved
from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import components
from halluc_plugin.rewards.settings import RewardSettings

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")


def score(answer: Answer, settings: RewardSettings) -> tuple[float, dict[str, float]]:
    """Return the reward of an answer, and its components.

    Args:
        answer: The judged answer.
        settings: Weights and parameters.

    Returns:
        The weighted sum, and every registered component unweighted, by name.
    """
    parts = {name: component(answer, settings) for name, component in components().items()}
    return sum(weight * parts[name] for name, weight in settings.weights.items()), parts


moved.forward(__name__)
