"""The scales of the experiment."""

from dataclasses import dataclass, field

from halluc_plugin.problem_sets.steps import Sizes
from halluc_plugin.scratch.model import Size
from halluc_plugin.training.match_settings import MatchSettings


@dataclass(frozen=True)
class Scale:
    """One scale of the experiment.

    Attributes:
        bases: Bases of the sums; each has as many problems.
        sizes: Numbers of digits.
        train: Number of training problems of each base.
        test: Number of test problems of each base.
        size: Size of the models.
        steps: Number of optimizer steps.
        batch_size: Number of responses in a step.
        matching: The settings of SequenceMatch.
        texts: Number of training windows of the text arm.
        test_texts: Number of held-out windows.
        text_steps: Number of optimizer steps of the text arm.
        lengths: Lengths of the synthetic chains.
    """

    bases: tuple[int, ...] = (10, 13, 16)
    sizes: Sizes = field(default_factory=lambda: Sizes(1, 2, 3))
    train: int = 8_000
    test: int = 668
    size: Size = Size.TINY
    steps: int = 1500
    batch_size: int = 64
    matching: MatchSettings = field(
        default_factory=lambda: MatchSettings(imitate_steps=600, anneal_steps=450, max_actions=48)
    )
    texts: int = 8_000
    test_texts: int = 500
    text_steps: int = 800
    lengths: tuple[int, ...] = (4, 8, 16, 32)


FULL = Scale()
QUICK = Scale(
    bases=(10, 16),
    sizes=Sizes(1, 3, 4),
    train=300,
    test=50,
    steps=60,
    batch_size=16,
    matching=MatchSettings(
        imitate_steps=20, anneal_steps=20, refresh_steps=10, fresh=32, capacity=64, max_actions=24
    ),
    texts=200,
    test_texts=20,
    text_steps=20,
    lengths=(3, 5),
)
