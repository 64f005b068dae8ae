"""How much of everything the experiment takes."""

from dataclasses import dataclass, field

from halluc_plugin.recipes.when_it_pays.grids import WORD
from halluc_plugin.scratch.model import Shape, Size
from halluc_plugin.tasks.word.problems import WordProblems


@dataclass(frozen=True)
class Scale:
    """One scale.

    Attributes:
        problems: What is asked.
        size: Size of a model from scratch.
        train: Training problems.
        test: Held-out problems, each answered once.
        batch: Traces in an optimizer step.
        clean_steps: Optimizer steps on clean answers, before the token is added; 0 for none.
        steps: Optimizer steps on traces that erase.
        rate: Peak learning rate.
        warmup: Steps from zero to the peak.
        max_tokens: Most tokens of an answer, rejected lines included.
        curve: Optimizer steps at which answers are sampled, 0 first.
        curve_problems: Problems that are answered at each of them.
        read: Held-out traces on which the token's probability is read before it is trained.
        biases: What is added to the token's logit, in nats.
        forced: Numbers of edits until which an end is held back.
        budgets: Largest numbers of edits.
        rounds: Rounds of backtracking of the search, b.
        samples: Samples of a round of the search, N.
        searched: Problems that are searched.
    """

    problems: WordProblems = WORD
    size: Size | Shape = Size.TINY
    train: int = 12_000
    test: int = 1000
    batch: int = 32
    clean_steps: int = 800
    steps: int = 1600
    rate: float = 2e-3
    warmup: int = 40
    max_tokens: int = 130
    curve: tuple[int, ...] = (0, 10, 20, 40, 60, 80, 100, 150, 200, 300, 400, 600, 800, 1200, 1600)
    curve_problems: int = 200
    read: int = 200
    biases: tuple[float, ...] = (-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0)
    forced: tuple[int, ...] = (1, 2, 3)
    budgets: tuple[int, ...] = (0, 1, 2, 3)
    rounds: tuple[int, ...] = (1, 2, 4)
    samples: int = 4
    searched: int = field(default=300)


FULL = Scale()
PRETRAINED = Scale(
    train=2000, test=100, batch=16, clean_steps=0, steps=200, rate=1e-4, warmup=10, max_tokens=260,
    curve=(0, 10, 25, 50, 100, 150, 200), curve_problems=50, read=50, searched=30,
)  # fmt: skip
"""What is feasible with 135M parameters on two cores."""
QUICK = Scale(
    size=Shape(hidden=32, intermediate=64, layers=2, heads=2), train=48, test=6, batch=4, clean_steps=3,
    steps=4, warmup=1, max_tokens=24, curve=(0, 2, 4), curve_problems=4, read=4, biases=(-4.0, 0.0, 4.0),
    forced=(1,), budgets=(0, 1), rounds=(2,), samples=4, searched=2,
)  # fmt: skip
