"""The settings of a reward: the weights of its components, and their parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from halluc_plugin.errors import SettingsError
from halluc_plugin.refusals import require_finite, unknown
from halluc_plugin.rewards.registry import broken_components, components


def component_settings() -> dict[str, type[Any]]:
    """Return the dataclasses of components that have settings of their own, by the component's name."""
    return {name: made.settings for name, made in components().items() if made.settings is not None}


@dataclass(frozen=True)
class RewardSettings:
    """The reward ``sum over components of weight * component``.

    By default only the outcome has a weight. The other components are always reported; before giving
    ``backtrack`` a weight, note that ``alpha`` pays more for an error that is undone than for no error.

    Args:
        weights: Weight of each component by name; a component without a weight is reported but not paid.
        alpha: Parameter of ``backtrack``, paid once when a wrong state was backtracked into a correct answer.
        beta: Parameter of ``backtrack``, the cost of each event that started from a state that was still
            right.
        gamma: Parameter of ``backtrack``: ``gamma / sqrt(max(1, events))`` is paid for a correct answer.
        kappa: Parameter of ``n_mars``, its budget of effective edits for each action.
        parameters: Settings of components that declare their own, by the component's name.
    """

    weights: dict[str, float] = field(default_factory=lambda: {"outcome": 1.0})
    alpha: float = 0.4
    beta: float = 0.2
    gamma: float = 0.25
    kappa: float = 0.2
    parameters: Mapping[str, Any] = field(default_factory=dict, metadata={"kinds": component_settings})

    def __post_init__(self) -> None:
        check_weights(self.weights, "halluc.reward.weights")
        for name in ("alpha", "beta", "gamma", "kappa"):
            require_finite(f"halluc.reward.{name}", getattr(self, name))
        kinds = component_settings()
        for name, given in self.parameters.items():
            if name not in kinds or not isinstance(given, kinds[name]):
                raise SettingsError(
                    f"halluc.reward.parameters.{name} is {given!r}.",
                    f"Give an instance of the component's settings: {kinds}.",
                )


def check_weights(weights: Mapping[str, float], path: str) -> None:
    """Refuse components that do not exist or cannot be loaded, and weights that are not numbers.

    Raises:
        SettingsError: A component is unknown (the message names close matches) or broken, or a weight is not
            a number.
    """
    for name, weight in weights.items():
        if name in broken_components():
            raise SettingsError(
                f"The reward component {name!r} cannot be used ({broken_components()[name]}).",
                "Mend the package, or uninstall it.",
            )
        if name not in components():
            raise unknown(f"reward component {name!r}", name, components(), path)
        require_finite(f"{path}.{name}", weight)
