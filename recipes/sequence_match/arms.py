"""The arms: likelihood on clean data, on data with backspaces, SequenceMatch on those, and its competitors.

The competitors train on clean data, too: the errors that they learn from are the model's own.
"""

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
from halluc_plugin.training.dagger import DaggerSettings, imitate_expert
from halluc_plugin.training.experts import Recovery
from halluc_plugin.training.match_settings import MatchSettings
from halluc_plugin.training.matching import match_sequences
from halluc_plugin.training.scheduled_sampling import Schedule, sample_on_schedule

PEAK = 1.5e-3
EXPERT_SHARE = 0.5
"""DAgger's p: β_i = p^(i-1)."""


class Noise(StrEnum):
    """The errors that the data take back."""

    NONE = "none"
    RANDOM = "random"
    """Random tokens."""
    TASK = "task"
    """Errors that one makes in the task: the paper's ground-truth noise."""


class Method(StrEnum):
    """How a model is trained, as the tables name it."""

    LIKELIHOOD = "likelihood"
    MATCHING = "SequenceMatch"
    """Occupancies are matched after imitation."""
    SCHEDULED_LINEAR = "scheduled sampling, linear"
    """True text as long as others imitate, then ever less of it, on a line down to the β of matching."""
    SCHEDULED_SIGMOID = "scheduled sampling, inverse sigmoid"
    """ε_i = k / (k + exp(i / k)), which is one half when half of the steps are done."""
    DAGGER = "DAgger"
    """The expert writes the right digit of the place, whatever stands before; there are no backspaces."""
    DAGGER_BACKTRACK = "DAgger, backspaces"
    """The expert takes back until the right answer begins with what is left."""


PAPERS = frozenset({Method.LIKELIHOOD, Method.MATCHING})
"""The methods that the paper compares; the others need an answer that is right, and that ends."""


@dataclass(frozen=True)
class Arm:
    """The data on which a model is trained, and the method.

    Attributes:
        noise: Errors in the data, which are masked.
        method: How the model is trained.
    """

    noise: Noise
    method: Method = Method.LIKELIHOOD

    @property
    def name(self) -> str:
        """The name in the tables."""
        if self.noise is Noise.NONE:
            return str(self.method)
        backspaces = ", backspaces" if self.method is Method.LIKELIHOOD else ""
        return f"{self.method}{backspaces}, {self.noise} noise"


ARMS = (
    Arm(Noise.NONE),
    Arm(Noise.RANDOM),
    Arm(Noise.TASK),
    Arm(Noise.RANDOM, Method.MATCHING),
    Arm(Noise.TASK, Method.MATCHING),
    Arm(Noise.NONE, Method.SCHEDULED_LINEAR),
    Arm(Noise.NONE, Method.SCHEDULED_SIGMOID),
    Arm(Noise.NONE, Method.DAGGER),
    Arm(Noise.NONE, Method.DAGGER_BACKTRACK),
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
        of = (model, tokenizer, files, settings, out)
        match arm.method:
            case Method.LIKELIHOOD:
                fine_tune(*of)
            case Method.MATCHING:
                match_sequences(*of, matching=matching)
            case Method.DAGGER | Method.DAGGER_BACKTRACK:
                imitate_expert(*of, dagger=as_dagger(matching, arm.method))
            case _:
                sample_on_schedule(*of, schedule=schedule(arm.method, matching, steps))

    return kept_model(folder, train)


def as_dagger(matching: MatchSettings, method: Method) -> DaggerSettings:
    """Return DAgger with as many roll-ins, of as many responses, as SequenceMatch draws."""
    return DaggerSettings(
        recovery=Recovery.BACKTRACK if method is Method.DAGGER_BACKTRACK else Recovery.PLACE,
        expert_share=EXPERT_SHARE,
        imitate_steps=matching.imitate_steps,
        refresh_steps=matching.refresh_steps,
        fresh=matching.fresh,
        max_actions=matching.max_actions,
    )


def schedule(method: Method, matching: MatchSettings, steps: int) -> Schedule:
    """Return a schedule: the line of SequenceMatch's β, or an inverse sigmoid that is 1/2 halfway."""
    if method is Method.SCHEDULED_LINEAR:
        return Schedule.line(matching.imitate_steps, matching.anneal_steps, matching.imitation)
    return Schedule.sigmoid(steps / 2)
