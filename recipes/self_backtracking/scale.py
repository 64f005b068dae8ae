"""The scales of the experiment."""

from dataclasses import dataclass

from halluc_plugin.scratch.model import Size


@dataclass(frozen=True)
class Models:
    """A kind of model, with the problems on which it is trained.

    Attributes:
        size: Size of the model.
        steps: Number of optimizer steps from scratch.
        largest_operand: Countdown's numbers are drawn from 1 to this.
        train: Number of training problems.
    """

    size: Size
    steps: int
    largest_operand: int
    train: int


@dataclass(frozen=True)
class Scale:
    """One scale of the experiment.

    Attributes:
        main: The models of stages 1 and 4.
        small: The models of the other stages.
        pool: Number of further problems for which answers are sampled; none of them is in a training or test
            set.
        test: Number of problems of each test set.
        tune_steps: Number of optimizer steps of fine-tuning a small model.
        samples: Numbers of samples N of the searches of stage 1.
        mix_samples: Numbers of samples N of the searches of stage 2.
        iteration_samples: Number of samples N of the searches of expert iteration.
        rounds: Number of rounds of expert iteration.
        attempts: Number of answers sampled for a pool problem for verified wrong-to-right data.
        answers: Number of answers to a test problem for pass@k and maj@k.
        most_k: Largest k of these, at most half of ``answers``.
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
