"""The scales of the experiment."""

from dataclasses import dataclass

from halluc_plugin.scratch.model import Size


@dataclass(frozen=True)
class Scale:
    """One scale of the experiment.

    Attributes:
        largest_operand: Largest number of a problem.
        largest_target: Largest target, and largest result of an equation.
        train: Number of training problems, each drawn in up to four ways.
        test: Number of test problems of each kind.
        size: Size of the models.
        longest: Largest number of tokens of a stream, in training and in answers.
        steps: Number of optimizer steps from scratch.
        batch_size: Number of streams in a step, which are computed eight at a time: lengths differ much.
        rounds: Rounds of policy improvement.
        pool: Training problems that are answered in a round.
        answers: Answers to each of them.
        round_steps: Number of optimizer steps of a round.
        samples: Samples of each test problem, of streams.
        optimal_samples: The same of optimal paths, which are shorter.
        budgets: Tokens that the samples of a problem may have together.
    """

    largest_operand: int = 15
    largest_target: int = 60
    train: int = 3_000
    test: int = 150
    size: Size = Size.TINY
    longest: int = 256
    steps: int = 700
    batch_size: int = 32
    rounds: int = 2
    pool: int = 400
    answers: int = 2
    round_steps: int = 100
    samples: int = 4
    optimal_samples: int = 12
    budgets: tuple[int, ...] = (48, 96, 192, 384)


FULL = Scale()
QUICK = Scale(
    train=300, test=20, steps=20, batch_size=8, rounds=1, pool=20, answers=1, round_steps=5, samples=2,
    optimal_samples=3, budgets=(64, 128),
)  # fmt: skip
