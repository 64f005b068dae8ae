"""How much of everything the experiment takes."""

from dataclasses import dataclass, field, replace

from halluc_plugin.recipes.prm_backtracking import scale as policies


@dataclass(frozen=True)
class Scale:
    """One scale.

    Attributes:
        policy: What is asked, and how the policies are taught that all arms begin with.
        problems: Problems whose attempts become pairs, in each stage.
        attempts: Attempts sampled at each.
        most: Most pairs of a problem.
        steps: Optimizer steps of a stage.
        tokens: Ids that go through the model in a stage, which decide its steps instead; None for ``steps``.
        batch_size: Pairs of a step.
        rate: Learning rate of a stage.
        beta: The scale of DPO.
        imitation: Weight of the chosen side's negative log-likelihood.
        asked: Held-out problems that are answered.
        samples: Most samples of each.
        rounds: Most refinements of a sample.
    """

    policy: policies.Scale = field(default_factory=lambda: policies.FULL)
    problems: int = 1000
    attempts: int = 8
    most: int = 4
    steps: int = 200
    tokens: float | None = None
    batch_size: int = 32
    rate: float = 1e-3
    beta: float = 0.1
    imitation: float = 1.0
    asked: int = 500
    samples: int = 32
    rounds: int = 1

    @property
    def counts(self) -> list[int]:
        """The numbers of samples at which answers are selected: powers of two."""
        return [2**power for power in range(self.samples.bit_length()) if 2**power <= self.samples]


FULL = Scale()
QUICK = Scale(
    policy=replace(policies.QUICK, sizes=replace(policies.QUICK.sizes, states=3, length=5, blanks=2)),
    problems=20,
    attempts=4,
    most=2,
    steps=3,
    batch_size=4,
    asked=6,
    samples=4,
)
