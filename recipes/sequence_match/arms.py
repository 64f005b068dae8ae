"""The arms: likelihood on clean data, on data with backspaces, and SequenceMatch on those."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from halluc_plugin.edits import Context
from halluc_plugin.recipes.lab.keeping import kept_model
from halluc_plugin.recipes.sequence_match.scale import Scale
from halluc_plugin.scratch.model import new_model
from halluc_plugin.training import TrainSettings, fine_tune
from halluc_plugin.training.matching import match_sequences

PEAK = 1.5e-3


class Noise(StrEnum):
    """The errors that the data take back."""

    NONE = "none"
    RANDOM = "random"
    """Random tokens."""
    TASK = "task"
    """Errors that one makes in the task: the paper's ground-truth noise."""


@dataclass(frozen=True)
class Arm:
    """The data on which a model is trained, and the method.

    Attributes:
        noise: Errors in the data, which are masked.
        matched: Whether occupancies are matched after imitation.
    """

    noise: Noise
    matched: bool = False

    @property
    def name(self) -> str:
        """The name in the tables."""
        if self.noise is Noise.NONE:
            return "likelihood"
        return f"{'SequenceMatch' if self.matched else 'likelihood, backspaces'}, {self.noise} noise"


ARMS = (
    Arm(Noise.NONE),
    Arm(Noise.RANDOM),
    Arm(Noise.TASK),
    Arm(Noise.RANDOM, matched=True),
    Arm(Noise.TASK, matched=True),
)


def trained(
    folder: Path, arm: Arm, files: Sequence[Path], tokenizer: Any, scale: Scale, *, seed: int, steps: int
) -> Path:
    """Return the model of an arm, trained from scratch in hard context on first use.

    Every arm has the same number of steps.
    """
    settings = TrainSettings(
        steps=steps,
        batch_size=scale.batch_size,
        learning_rate=PEAK,
        context=Context.HARD,
        seed=seed,
        bf16=True,
    )
    shrink = steps / scale.steps
    matching = replace(
        scale.matching,
        imitate_steps=round(scale.matching.imitate_steps * shrink),
        anneal_steps=round(scale.matching.anneal_steps * shrink),
    )

    def train(out: Path) -> None:
        model = new_model(tokenizer, scale.size, seed=seed)
        if arm.matched:
            match_sequences(model, tokenizer, files, settings, out, matching=matching)
        else:
            fine_tune(model, tokenizer, files, settings, out)

    return kept_model(folder, train)
