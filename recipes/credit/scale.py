"""The scales of the experiment."""

from dataclasses import dataclass, field

from halluc_plugin.recipes.self_backtracking import scale as supervised
from halluc_plugin.recipes.self_backtracking.bench import MAX_TOKENS
from halluc_plugin.rl.settings import GrpoSettings


@dataclass(frozen=True)
class Scale:
    """One scale of the experiment.

    Attributes:
        models: The scale of the supervised models, the small models of Self-Backtracking.
        run: Settings of GRPO, the same for all arms.
        sampled: Number of problems for which many answers are sampled.
        copies: Number of answers to each of these.
        most_k: Largest k of pass@k and maj@k, at most half of ``copies``.
    """

    models: supervised.Scale = supervised.FULL
    run: GrpoSettings = field(
        default_factory=lambda: GrpoSettings(steps=150, max_actions=MAX_TOKENS, micro_batch=128, bf16=True)
    )
    sampled: int = 300
    copies: int = 64
    most_k: int = 32


FULL = Scale()
QUICK = Scale(
    models=supervised.QUICK,
    run=GrpoSettings(steps=4, prompts=8, group=4, max_actions=MAX_TOKENS, bf16=True),
    sampled=20,
    copies=8,
    most_k=4,
)
