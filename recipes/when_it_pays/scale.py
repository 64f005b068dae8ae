"""The scales of the experiment."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    Attributes:
        train: Number of training problems.
        test: Number of held-out problems, each answered once.
        batch: Number of traces in an optimizer step.
        steps: Number of optimizer steps of a model.
        more: Factor of the steps of the clean model that has many more.
        samples: Number of answers of the clean model to each problem, for majority and best of n.
        weak_steps: Number of optimizer steps by which a model that sees learns a judge's errors, as a start
            for reinforcement learning.
        rl_steps: Number of steps of GRPO.
        rl_prompts: Number of problems of a step of GRPO, with eight answers each.
        curve: Numbers of tokens at which answers that reject are cut off, for the curve over compute.
        settled: Share of the steps after which accuracy should not change by a point any more.
    """

    train: int = 12_000
    test: int = 1000
    batch: int = 32
    steps: int = 1600
    more: int = 10
    samples: int = 32
    weak_steps: int = 400
    rl_steps: int = 40
    rl_prompts: int = 32
    curve: tuple[int, ...] = (10, 20, 30, 40, 60, 80)
    settled: float = 0.8


FULL = Scale()
QUICK = Scale(
    train=64, test=8, batch=4, steps=5, more=2, samples=4, weak_steps=4, rl_steps=2,
    rl_prompts=2, curve=(10, 20),
)  # fmt: skip
