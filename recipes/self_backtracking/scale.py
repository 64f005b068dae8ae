"""How much of everything an experiment takes."""

from dataclasses import dataclass

from halluc_plugin.scratch.model import Size


@dataclass(frozen=True)
class Models:
    """A kind of model, and the problems it is trained on.

    Attributes:
        size: Of the model.
        steps: Optimizer steps from scratch.
        largest_operand: Countdown's numbers are drawn from 1 to this.
        train: Training problems.
    """

    size: Size
    steps: int
    largest_operand: int
    train: int


@dataclass(frozen=True)
class Scale:
    """One scale.

    Attributes:
        main: The models of stages 1 and 4.
        small: Those of the others.
        pool: Further problems, for which answers are sampled; none is in training or in a test.
        test: Problems of each test set.
        tune_steps: Optimizer steps of a fine-tuning of a small model.
        samples: N of the searches of stage 1.
        mix_samples: N of the searches of stage 2.
        iteration_samples: N of the searches of expert iteration.
        rounds: Of expert iteration.
        attempts: Answers sampled of a pool problem for verified wrong-to-right data.
        answers: Answers of a test problem for pass@k and maj@k.
        most_k: Largest k of those; at most half of ``answers``.
    """

    main: Models
    small: Models
    pool: int
    test: int
    tune_steps: int
    samples: tuple[int, ...]
    mix_samples: tuple[int, ...]
    iteration_samples: int
    rounds: int
    attempts: int
    answers: int
    most_k: int


FULL = Scale(
    main=Models(Size.SMALL, steps=2400, largest_operand=50, train=30_000),
    # Small models learn to compute with smaller numbers only: of 1 to 50 they solve a tenth.
    small=Models(Size.TINY, steps=2000, largest_operand=25, train=12_000),
    pool=2_000,
    test=1_000,
    tune_steps=400,
    samples=(1, 8, 16, 32),
    mix_samples=(8, 16),
    iteration_samples=16,
    rounds=3,
    attempts=8,
    answers=64,
    most_k=32,
)
QUICK = Scale(
    main=Models(Size.TINY, steps=300, largest_operand=10, train=1_200),
    small=Models(Size.TINY, steps=200, largest_operand=10, train=1_200),
    pool=100,
    test=100,
    tune_steps=30,
    samples=(1, 8),
    mix_samples=(8,),
    iteration_samples=8,
    rounds=2,
    attempts=4,
    answers=8,
    most_k=4,
)
