"""How much of everything the experiment on learned models takes."""

from dataclasses import dataclass, field

from halluc_plugin.recipes.prm_backtracking.tasks import Sizes, Task
from halluc_plugin.scratch.model import Shape


@dataclass(frozen=True)
class Scale:
    """One scale.

    Attributes:
        sizes: Sizes of problems.
        shape: Shape of all models.
        train: Problems that policies are trained on.
        lessons: Lessons of a policy: the longest chains (0 where there are none) and the optimizer steps.
        round_steps: Optimizer steps of a round, which is added to the last lesson while the policy is right
            too rarely.
        least: Share of right answers at which no round is added.
        most: Share of right answers above which the last lesson is given anew, with half of its steps.
        rounds: Most rounds.
        batch_size: Rows of a step.
        learning_rate: Learning rate of policies.
        labelled: Problems whose answers scorers are trained on.
        answers: Answers of the policy to each.
        partials: Share of their prefixes that are continued.
        continuations: Continuations of such a prefix.
        scorer_steps: Most optimizer steps of a scorer.
        scorer_rate: Learning rate of scorers.
        looks: Steps between looks at what is held out.
        turns: Most earlier turns that the in-context scorer reads.
        asked: Problems that are searched; those with a wrong first answer are those of figure 6.
        rollouts: Continuations of each prefix of a first answer: the oracle, which scorers are compared with.
        n: N, suffixes of a revision.
        revisions: M.
        samples: Most independent samples of a problem.
    """

    sizes: Sizes = field(default_factory=Sizes)
    shape: Shape = field(default_factory=lambda: Shape(hidden=64, intermediate=192, layers=4, heads=4))
    train: int = 12_000
    lessons: dict[Task, tuple[tuple[int, int], ...]] = field(
        default_factory=lambda: {
            Task.WORD: ((0, 2000),),
            Task.CHAIN: ((2, 800), (4, 300), (8, 300), (16, 400)),
        }
    )
    round_steps: int = 60
    least: float = 0.25
    most: float = 0.6
    rounds: int = 30
    batch_size: int = 32
    learning_rate: float = 5e-3
    labelled: int = 200
    answers: int = 4
    partials: float = 0.2
    continuations: int = 4
    scorer_steps: int = 240
    scorer_rate: float = 1e-3
    looks: int = 30
    turns: int = 2
    asked: int = 200
    rollouts: int = 4
    n: int = 4
    revisions: int = 4
    samples: int = 16


FULL = Scale()
QUICK = Scale(
    sizes=Sizes(modulus=2, operations=3, states=2, length=3, blanks=1),
    shape=Shape(hidden=32, intermediate=64, layers=2, heads=2),
    train=50,
    lessons={Task.WORD: ((0, 500),), Task.CHAIN: ((1, 200), (3, 250))},
    rounds=1,
    most=1.0,
    round_steps=5,
    batch_size=16,
    learning_rate=1e-2,
    labelled=30,
    scorer_steps=4,
    looks=2,
    asked=5,
    rollouts=2,
    n=2,
    revisions=2,
    samples=2,
)
