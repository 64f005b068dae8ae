"""How much of everything the experiment takes."""

from dataclasses import dataclass, field, replace

from halluc_plugin.recipes.prm_backtracking import scale as policies


@dataclass(frozen=True)
class Scale:
    """One scale.

    Attributes:
        policy: What is asked, and how the policies are taught that all arms begin with.
        problems: Problems whose answers become traces of two attempts, and on which is trained.
        answers: Answers sampled at each for these traces.
        traces: Most traces of a problem.
        taught_steps: Optimizer steps of fine-tuning on them.
        rate: Its learning rate.
        batch_size: Traces of a step of it.
        stage_steps: Steps of a stage; an arm of one stage has twice as many.
        tokens: Ids that go through models in all, which decide the steps instead: half of them to teach both
            turns, a quarter in each stage; None for the steps.
        prompts: Problems of a step of a stage.
        group: Pairs of attempts at each.
        stage_rate: Learning rate of a stage.
        alpha: The factor α of the bonus.
        first_hold: β2, the weight of the divergence of the first turn in stage I.
        hold: β1, the weight of the divergence of both turns in stage II.
        asked: Held-out problems that are answered, in two attempts each.
    """

    policy: policies.Scale = field(default_factory=lambda: policies.FULL)
    problems: int = 1000
    answers: int = 8
    traces: int = 4
    taught_steps: int = 400
    rate: float = 1e-3
    batch_size: int = 32
    stage_steps: int = 60
    tokens: float | None = None
    prompts: int = 32
    group: int = 8
    stage_rate: float = 1e-4
    alpha: float = 10.0
    first_hold: float = 0.1
    hold: float = 0.01
    asked: int = 500


FULL = Scale()
QUICK = Scale(
    policy=replace(policies.QUICK, sizes=replace(policies.QUICK.sizes, states=3, length=5, blanks=2)),
    problems=20,
    answers=4,
    traces=2,
    taught_steps=3,
    batch_size=4,
    stage_steps=1,
    prompts=2,
    group=2,
    asked=6,
)
