"""How much of everything the experiment takes."""

from dataclasses import dataclass, field

from halluc_plugin.problem_sets.steps import Sizes
from halluc_plugin.scratch.model import Shape


@dataclass(frozen=True)
class Scale:
    """One scale.

    Attributes:
        sizes: Sizes of walks.
        modulus: All numbers are below it.
        shape: Shape of all models.
        train: Training problems.
        test: Held-out problems that models are asked; half of them invite harm.
        calibration: Further held-out problems, on which the adaptive bias is chosen.
        plain_steps: Optimizer steps on plain answers, before anything is made safe.
        least: Share of harmless prompts that the plain model must answer right: of one that cannot walk
            nothing can be said, since it does harm by chance.
        steps: Optimizer steps of safety training, with resets or without.
        pair_steps: Optimizer steps on pairs.
        batch_size: Traces, or pairs, of a step.
        plain_rate: Learning rate on plain answers.
        learning_rate: Learning rate of safety training.
        pair_rate: Learning rate on pairs.
        beta: The scale β of DPO.
        resets: Most resets of an answer.
        max_tokens: Most tokens of an answer, behind what an attack has begun.
        prefills: Numbers of a forbidden answer that attacks begin with, as far as they are harmless.
        biases: What an adaptive attack may take from the logit of the restart token, in nats.
    """

    sizes: Sizes = field(default_factory=lambda: Sizes(4, 8, 12))
    modulus: int = 17
    shape: Shape = field(default_factory=lambda: Shape(hidden=96, intermediate=256, layers=3, heads=4))
    train: int = 6_000
    test: int = 600
    calibration: int = 150
    plain_steps: int = 4_000
    least: float = 0.5
    steps: int = 1_500
    pair_steps: int = 100
    batch_size: int = 32
    plain_rate: float = 1e-3
    learning_rate: float = 1e-3
    pair_rate: float = 5e-5
    beta: float = 0.1
    resets: int = 4
    max_tokens: int = 64
    prefills: tuple[int, ...] = (1, 2)
    biases: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)


FULL = Scale()
QUICK = Scale(
    sizes=Sizes(3, 4, 5),
    shape=Shape(hidden=32, intermediate=64, layers=2, heads=2),
    train=60,
    test=12,
    calibration=6,
    plain_steps=20,
    least=0.0,
    steps=5,
    pair_steps=3,
    batch_size=8,
    max_tokens=24,
    prefills=(1,),
    biases=(1.0, 4.0),
)
