"""The settings of SequenceMatch."""

from dataclasses import dataclass

from halluc_plugin.errors import SettingsError
from halluc_plugin.losses import Divergence


@dataclass(frozen=True)
class MatchSettings:
    """How occupancies are matched.

    Args:
        gamma: Discount γ of the occupancies.
        divergence: The divergence to minimise.
        imitate_steps: Number of optimizer steps of pure imitation (β = 1).
        anneal_steps: Number of optimizer steps in which β goes from 1 to ``imitation``.
        imitation: Weight β of imitation at the end: the loss is β imitation + (1 - β) matching.
        refresh_steps: Number of steps between draws of the model's responses.
        fresh: Number of responses of a draw.
        capacity: Number of responses that are kept.
        max_actions: Largest number of actions of a response.

    Raises:
        SettingsError: A value is out of range.
    """

    gamma: float = 0.98
    divergence: Divergence = Divergence.CHI2_MIXTURE
    imitate_steps: int = 400
    anneal_steps: int = 400
    imitation: float = 0.2
    refresh_steps: int = 20
    fresh: int = 256
    capacity: int = 1024
    max_actions: int = 128

    def __post_init__(self) -> None:
        for name in ("imitate_steps", "anneal_steps", "refresh_steps", "fresh", "capacity", "max_actions"):
            least = 0 if name in {"imitate_steps", "anneal_steps"} else 1
            if getattr(self, name) < least:
                raise SettingsError(f"{name} is {getattr(self, name)}.", f"Give at least {least}.")
        if not 0 <= self.gamma < 1 or not 0 <= self.imitation <= 1:
            raise SettingsError(
                f"gamma is {self.gamma} and imitation {self.imitation}.",
                "Give gamma below 1, imitation to 1.",
            )

    def beta(self, step: int) -> float:
        """Return the weight of imitation β at an optimizer step; steps count from 0."""
        done = (step - self.imitate_steps) / self.anneal_steps if self.anneal_steps else float("inf")
        return 1.0 if step < self.imitate_steps else max(self.imitation, 1 - (1 - self.imitation) * done)
