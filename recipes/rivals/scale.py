"""How much of everything the experiment takes."""

from dataclasses import dataclass, field, replace

from halluc_plugin.recipes.prm_backtracking import scale as policies
from halluc_plugin.recipes.prm_backtracking.tasks import Task
from halluc_plugin.recipes.revise import scale as revising
from halluc_plugin.recipes.score import scale as scoring


@dataclass(frozen=True)
class Scale:
    """One scale.

    Attributes:
        policy: What is asked, and how the policies are taught that all arms begin with.
        tokens: Ids that go through each arm's models in training, behind the policy's, by task; arms of two
            stages have half of them in each. On words so many that a model learns to take back; on chains
            fewer would leave arms of two stages a few steps, and clean answers are then nearly always right.
        problems: Problems whose answers are sampled for training.
        samples: Answers sampled at each, or steps after each prefix.
        most: Most pairs of a problem.
        batch_size: Rows of a step of fine-tuning.
        rate: Learning rate of fine-tuning.
        pair_rate: Learning rate on pairs; ReVISE has its own.
        beta: The scale of DPO.
        imitation: Weight of the chosen side's mean negative log-likelihood where pairs are learned from.
        prompts: Problems of a step of reset training.
        group: Answers to each.
        reset_rate: Learning rate of reset training.
        asked: Held-out problems that are answered, by task; answers to chains are four times as long.
        budgets: Sampled tokens that an answer to a problem may take, in lengths of the longest
            answer without edits.
    """

    policy: policies.Scale = field(default_factory=lambda: policies.FULL)
    tokens: dict[Task, float] = field(default_factory=lambda: {Task.WORD: 3e6, Task.CHAIN: 1e6})
    problems: int = 1000
    samples: int = 8
    most: int = 4
    batch_size: int = 32
    rate: float = 3e-3
    pair_rate: float = 2e-4
    beta: float = 0.1
    imitation: float = 1.0
    prompts: int = 32
    group: int = 8
    reset_rate: float = 1e-4
    asked: dict[Task, int] = field(default_factory=lambda: {Task.WORD: 500, Task.CHAIN: 200})
    budgets: tuple[int, ...] = (1, 4, 8, 16)

    def revising(self, task: Task) -> revising.Scale:
        """Return the scale of ReVISE on a task, with half of the tokens in each stage."""
        return replace(
            revising.FULL, policy=self.policy, problems=self.problems, attempts=self.samples, most=self.most,
            tokens=self.tokens[task] / 2, batch_size=self.batch_size, beta=self.beta,
            imitation=self.imitation, asked=self.asked[task],
        )  # fmt: skip

    def scoring(self, task: Task) -> scoring.Scale:
        """Return the scale of SCoRe on a task."""
        return replace(
            scoring.FULL, policy=self.policy, problems=self.problems, answers=self.samples, traces=self.most,
            tokens=self.tokens[task], batch_size=self.batch_size, rate=self.rate, prompts=self.prompts,
            group=self.group, stage_rate=self.reset_rate, asked=self.asked[task],
        )  # fmt: skip


FULL = Scale()
QUICK = Scale(
    policy=replace(policies.QUICK, sizes=replace(policies.QUICK.sizes, states=3, length=5, blanks=2)),
    tokens={Task.WORD: 500, Task.CHAIN: 500},
    problems=20,
    samples=4,
    most=2,
    batch_size=4,
    prompts=2,
    group=2,
    asked={Task.WORD: 6, Task.CHAIN: 6},
    budgets=(1, 2, 3, 4),
)
