"""How much of everything the experiment takes."""

from dataclasses import dataclass, field, replace

from halluc_plugin.recipes.prm_backtracking import scale as policies


@dataclass(frozen=True)
class Scale:
    """One scale.

    Attributes:
        policy: What is asked, and how the policies are taught that all arms begin with.
        problems: Problems whose answers are sampled for training.
        answers: Answers sampled at each, to teach reading.
        shown: Most answers that are shown in training, and that universal self-consistency reads.
        most: Traces behind shown answers, or pairs of a debate, of a problem.
        tokens: Ids that go through the model while it is taught to read.
        pair_tokens: Ids that go through models while they are trained on consensus.
        batch_size: Rows of a step.
        rate: Learning rate of fine-tuning.
        pair_rate: Learning rate on pairs.
        beta: The scale of DPO.
        imitation: Weight of the chosen side's mean negative log-likelihood.
        copies: Copies of a debate.
        rounds: Rounds in which they read, in debates that are trained on.
        asked: Held-out problems that are answered.
        budgets: Sampled tokens that an answer to a problem may take, in lengths of the longest answer.
    """

    policy: policies.Scale = field(default_factory=lambda: policies.FULL)
    problems: int = 1000
    answers: int = 8
    shown: int = 8
    most: int = 4
    tokens: float = 2e6
    pair_tokens: float = 1e6
    batch_size: int = 32
    rate: float = 1e-3
    pair_rate: float = 2e-4
    beta: float = 0.1
    imitation: float = 1.0
    copies: int = 3
    rounds: int = 1
    asked: int = 500
    budgets: tuple[int, ...] = (3, 6, 9, 12)


FULL = Scale()
QUICK = Scale(
    policy=replace(policies.QUICK, sizes=replace(policies.QUICK.sizes, states=3, length=5, blanks=2)),
    problems=20,
    answers=4,
    shown=3,
    most=2,
    tokens=3000,
    pair_tokens=1000,
    batch_size=4,
    asked=6,
    budgets=(2, 3, 6, 7),
)
